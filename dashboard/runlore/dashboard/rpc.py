"""`/rpc/v1/<project>/<method>`: the questions of `Client("https://…")`, as the query service answers them over NATS."""

from __future__ import annotations

import time
from urllib.parse import unquote

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from runlore.dashboard.access import access_of
from runlore.dashboard.metrics import Metrics
from runlore.query.remote.answers import Answers, AnswerStep
from runlore.query.remote.methods import HTTP_PATH, HTTP_TYPE
from runlore.query.view.connection import ViewReader
from runlore.schemas.shards import Shard

MAX_QUESTION = 2 * 1024 * 1024
ROUTE = f"{HTTP_PATH}/{{project}}/{{method}}"


class Rpc:
    """The endpoint. What a token shows decides which projects may be asked for."""

    def __init__(self, reader: ViewReader, metrics: Metrics) -> None:
        self._answers, self._metrics = Answers(reader), metrics

    async def answer(self, request: Request) -> Response:
        """Answer one question."""
        started = time.perf_counter()
        response = await self._answer(request)
        self._metrics.count(HTTP_PATH, response.status_code, time.perf_counter() - started)
        return response

    async def _answer(self, request: Request) -> Response:
        project, method = request.path_params["project"], request.path_params["method"]
        if not access_of(request).sees(unquote(project)):
            return PlainTextResponse(f"this token does not show the project {unquote(project)!r}", 403)
        if request.headers.get("content-type") != HTTP_TYPE:  # a form of another site has another one
            return PlainTextResponse(f"send {HTTP_TYPE}", 415)
        question = bytearray()
        async for piece in request.stream():
            question += piece
            if len(question) > MAX_QUESTION:
                return PlainTextResponse("question too large", 413)
        found = await self._answers.answer(f"{Shard().query_subject}.{project}.{method}", bytes(question), _in_thread)
        if found is None:
            return PlainTextResponse("the page ends", 503)
        return Response(found, media_type=HTTP_TYPE)


async def _in_thread(step: AnswerStep) -> bytes | None:
    return await anyio.to_thread.run_sync(step)
