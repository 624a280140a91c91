"""Read back what the runs logged: runs and steps, the model's cards, a learning curve, a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from runlore.query import Client, Comparison
from runlore.store.cells import readable

console = Console(width=110)


def main() -> None:
    with Client() as client:
        runs = list(reversed(client.list_pipeline_runs("train_classifiers", limit=2)))
        console.rule("[bold]runs and steps")
        for run in runs:
            console.print(f"[bold]{run.name}[/]  {run.id}  {run.status}")
            for name, step in run.steps.items():
                console.print(f"  {step.status:<10} {name}")

        model = client.get_model_version("digits_classifier", "production")
        console.rule(f"[bold]{model.reference}, in {model.stage}")
        show_cards(model.metadata)

        trained = runs[-1].steps["train_logistic_regression"]
        console.rule(f"[bold]history of training.loss of {trained.name} in {runs[-1].name}")
        show_history(trained)

        console.rule("[bold]the two runs compared")
        show_comparison(client.compare(runs))


def show_cards(metadata: Mapping[str, Any]) -> None:
    """A card for each group, and one for the keys outside groups."""
    groups = {key: value for key, value in metadata.items() if isinstance(value, dict)}
    alone = {key: value for key, value in metadata.items() if key not in groups}
    cards = {"metadata": alone, **groups}
    console.print(Columns([Panel(lines(card), title=title) for title, card in cards.items() if card]))


def lines(card: Mapping[str, Any]) -> str:
    return "\n".join(f"{key}: {short(value)}" for key, value in card.items())


def short(value: Any) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else readable(value)
    return text if len(text) <= 36 else text[:12] + " ... " + text[-19:]


def show_history(entity: Any) -> None:
    table = Table("event", "recorded", "value", "who", "step")
    for entry in entity.history("training.loss"):
        who = f"{entry.actor.user}@{entry.actor.host}, process {entry.actor.pid}"
        table.add_row(str(entry.position), f"{entry.created:%H:%M:%S.%f}", f"{entry.value:.4f}", who, entry.step)
    console.print(table)


def show_comparison(comparison: Comparison) -> None:
    """A row for each leaf that differs."""
    table = Table("key", *(str(run.name) for run in comparison.entities))
    for row in comparison.rows:
        if row.differs:
            cells = [short(value) if there else "-" for value, there in zip(row.values, row.present, strict=True)]
            table.add_row(row.path, *cells)
    console.print(table)


if __name__ == "__main__":
    main()
