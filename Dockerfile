# Runlore without a NATS server: the projector, the command line and the examples.
FROM python:3.11-slim AS build
WORKDIR /src
COPY constraints.txt ./
# Everything is fetched with its hash checked; below, only what is needed is installed from it, offline.
RUN pip download --no-cache-dir --require-hashes --dest /wheels --requirement constraints.txt
COPY . .
RUN python -m venv /opt/runlore \
    && /opt/runlore/bin/pip install --no-cache-dir --no-index -f /wheels '.[projector,cli,dashboard,credentials,examples]'

FROM python:3.11-slim
# `page` is another user: in the group that the projector shares log and views with, and not the owner of its key.
RUN groupadd --gid 10010 readers \
    && useradd --create-home --uid 10001 --groups readers runlore \
    && useradd --create-home --uid 10002 --groups readers page \
    && install --directory --owner runlore --group runlore --mode 0700 /data
COPY --from=build /opt/runlore /opt/runlore
COPY examples /opt/runlore/examples
ENV PATH=/opt/runlore/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RUNLORE_DATA_DIR=/data
USER runlore
WORKDIR /opt/runlore
VOLUME /data
CMD ["runlore", "projector"]
