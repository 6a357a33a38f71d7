"""``kroute simulate``: recordings of an estate with faults whose cause and owners are known."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("simulate")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the recordings.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option("--count", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Scenarios per cause, by seed.")
@click.option("--size", type=click.Choice(["small", "medium", "large"]), default="medium", show_default=True)
@click.option("--groups", type=click.IntRange(4, 5000), help="Consumer groups, instead of --size.")
@click.option("--brokers", type=click.IntRange(3, 200), help="Brokers, instead of --size.")
@click.option("--platform", type=click.Choice(["kafka", "automq"]), default="kafka", show_default=True)
@click.option("--cause", "wanted", multiple=True, help="A cause of the catalogue; repeat for several. None: nothing is wrong.")
@click.option("--all", "every", is_flag=True, help="Every cause that the platform has.")
@click.option("--two", is_flag=True, help="A second fault, drawn at random, in each scenario.")
@click.option("--benign", is_flag=True, help="Deploys, scaling, replays, moves, restarts, peaks or quiet hours besides.")
@click.option("--missing", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share of signals lost.")
@click.option("--delay", "delay_s", type=click.FloatRange(0, 600), default=0.0, show_default=True, help="Latest arrival (s).")
@click.option("--minutes", type=click.FloatRange(27, 24 * 60), default=40.0, show_default=True, help="15 are healthy first.")
@click.option("--interval", "interval_s", type=click.FloatRange(5, 600), default=30.0, show_default=True, help="Of polls, in s.")
def command(
    out: Path, seed: int, count: int, size: str, groups: int | None, brokers: int | None, platform: str, wanted: tuple[str, ...],
    every: bool, two: bool, benign: bool, missing: float, delay_s: float, minutes: float, interval_s: float,
) -> None:  # fmt: skip
    """Simulate an estate and record what its pollers would see, with the truth beside it.

    Writes <name>.jsonl (for `kroute replay` and `kroute score`) and <name>.truth.json per scenario.
    """
    from kroute.simulate.happening import NoRoom  # noqa: PLC0415
    from kroute.simulate.observe.delivery import Disturbance  # noqa: PLC0415  (--help must not import numpy)
    from kroute.simulate.plan import plan  # noqa: PLC0415
    from kroute.simulate.run import write  # noqa: PLC0415

    scenarios = plan(
        seed=seed, count=count, size=size, groups=groups, brokers=brokers, platform=platform, wanted=wanted, every=every,
        two=two, benign=benign, minutes=minutes, interval_s=interval_s, disturbance=Disturbance(missing, delay_s),
    )  # fmt: skip
    for sc in scenarios:
        try:
            recording, _ = write(sc, out)
        except NoRoom as e:
            if len(scenarios) == 1:
                raise
            click.echo(f"left out: {e}", err=True)
            continue
        what = " + ".join(sc.causes) or "nothing wrong"
        more = f", with {', '.join(sc.benign)}" if sc.benign else ""
        click.echo(f"{recording}: {what}{more}")
