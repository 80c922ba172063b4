"""`erc-live evaluate`: what weights are worth on a corpus, asked as they are used live; compared, drawn, or as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from erc_live.live import config as configuration
from erc_live.live.commands.options import LETTERS, Compose, Corpus, Modalities, Processes, modality_names
from erc_live.live.commands.session_options import ConfigFile, Sets
from erc_live.live.errors import ConfigError
from erc_live.live.screen.console import err, out
from erc_live.live.screen.progress import counting

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from erc_live.live.commands.evaluation_report import Evaluation
    from erc_live.models.card import Card
    from erc_live.models.corpora.dialogue import Split
    from erc_live.models.dimensions import Coordinates


def evaluate(
    corpus: Corpus,
    run: Annotated[
        str | None, typer.Argument(help="A run of `erc-live train`: all its seeds together.", metavar="[RUN]")
    ] = None,
    against: Annotated[str | None, typer.Option(help="Another run, which RUN is compared with.", metavar="RUN")] = None,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "dev",
    weights: Annotated[
        list[str] | None,
        typer.Option(help="default, or a folder that `erc-live train` wrote. Several are compared with the first."),
    ] = None,
    modalities: Modalities = "tav",
    hide: Annotated[list[str] | None, typer.Option(help="Leave out a modality: text, audio or visual.")] = None,
    by_modality: Annotated[bool, typer.Option("--by-modality", help="Score every subset of the modalities.")] = False,
    look_ahead: Annotated[
        list[str] | None,
        typer.Option(
            help="How many later utterances a two-sided network hears: a number, or full, as its paper has it "
            "(default). Several are compared. A causal one hears none.",
            metavar="N|full",
        ),
    ] = None,
    compose: Compose = None,
    processes: Processes = 1,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw it: a file (.svg, .png, .pdf), or a folder of svg files.", metavar="PATH")
    ] = None,
) -> None:
    """Score weights as they are used live: one utterance at a time, from the past alone; forward must agree."""
    from erc_live.models.corpora import read

    names = _names(run, weights or [], against)
    chosen = _modalities_without(modalities, hide or [])
    subsets = [subset for size in (3, 2, 1) for subset in combinations(chosen, size)] if by_modality else [chosen]
    places = configuration.load(config, sets or []).config.tracker.coordinates
    plan = _Questions(tuple(subsets), _ahead(look_ahead or []), processes, tuple(compose or ()), places)
    if plot is not None:
        from erc_live.live.commands import plots

        plots.check_target(plot)
    data = read(corpus, split)
    if plan.compose and data.name != "dev":
        raise ConfigError(f"--compose is for the dev split, which it was tuned on, not for {data.name}")
    runs = [one for name in names for one in _runs(name, corpus, data, plan)]
    others = [one for name in _seeds(against) for one in _runs(name, corpus, data, plan)] if against is not None else []
    _check_comparable((*runs, *others))
    if run is not None:
        _show_pooled(data, run, runs, against, others, as_json)
    else:
        _show_each(data, runs, as_json)
    if plot is not None:
        drawn = plots.plot(plot, runs, [curve for name in names for curve in plots.curves_of(name)])
        out.print("".join(f"drawn: {path}\n" for path in drawn if not as_json), end="", soft_wrap=True)


def _check_comparable(runs: "Sequence[Evaluation]") -> None:
    first = runs[0]
    if other := next((one for one in runs if one.labels != first.labels), None):
        raise ConfigError(
            f"{first.weights} has the labels {', '.join(first.labels)}, {other.weights} {', '.join(other.labels)}: "
            "only models with the same labels in the same order can be compared"
        )


def _show_each(data: "Split", runs: "Sequence[Evaluation]", as_json: bool) -> None:
    """One in full, or several beside the first."""
    from erc_live.live.commands import evaluation_report
    from erc_live.models.training.metrics import paired_bootstrap

    differences = [paired_bootstrap([runs[0].answers], [run.answers]) for run in runs[1:]]
    if as_json:
        out.print_json(data=evaluation_report.as_json(data.corpus, data.name, runs, differences))
    elif len(runs) == 1:
        out.print(evaluation_report.in_full(runs[0], data.corpus, data.name))
    else:
        out.print(evaluation_report.side_by_side(runs, differences))


def _show_pooled(
    data: "Split",
    run: str,
    runs: "Sequence[Evaluation]",
    against: str | None,
    others: "Sequence[Evaluation]",
    as_json: bool,
) -> None:
    """All seeds together, for each question that was asked of them."""
    from erc_live.live.commands import pooled_report

    speakers = [utterance.speaker for dialogue in data.dialogues for utterance in dialogue.utterances]
    found = pooled_report.pooled(pooled_report.RunAnswers(run, runs, against, others), speakers)
    if as_json:
        place = {"corpus": data.corpus, "split": data.name, "against": against}
        out.print_json(data={**place, "runs": [pooled_report.as_json(one) for one in found]})
        return
    for one in found:
        out.print(pooled_report.in_full(one, f"{data.corpus} {data.name}", against))


def _names(run: str | None, weights: Sequence[str], against: str | None) -> list[str]:
    """The weights that are asked. Raises ConfigError where the options exclude each other."""
    if against is not None and run is None:
        raise ConfigError(
            f"--against {against}: name the run that is compared with it: erc-live evaluate RUN --against {against}"
        )
    if weights and run is not None:
        raise ConfigError(f"give the run {run} or --weights: a run is all its seeds, --weights single ones")
    return list(dict.fromkeys(weights or ["default"])) if run is None else _seeds(run)


def _seeds(run: str) -> list[str]:
    from erc_live.models.training.run_folder import seed_folders

    return seed_folders(run)


@dataclass(frozen=True)
class _Questions:
    """What is asked of each model: subsets of the modalities, and how far it hears ahead; none said: as it is. Media
    are measured by so many `processes`; `compose` is where voices and faces come from; `coordinates` the user's own.
    """

    subsets: tuple[tuple[str, ...], ...]
    ahead: tuple[int | None, ...]
    processes: int
    compose: tuple[str, ...]
    coordinates: "Coordinates"


def _modalities_without(letters: str, hidden: Sequence[str]) -> tuple[str, ...]:
    """The modalities of some letters without those that are hidden. Raises ConfigError when one is unknown."""
    for name in hidden:
        if name not in LETTERS.values():
            raise ConfigError(f"--hide {name}: there are {', '.join(LETTERS.values())}")
    return tuple(name for name in modality_names(letters) if name not in hidden)


def _ahead(given: Sequence[str]) -> tuple[int | None, ...]:
    found: list[int | None] = []
    for text in given:
        if text != "full" and not text.isdecimal():
            raise ConfigError(f"--look-ahead {text}: give a number of utterances, or full")
        found.append(None if text == "full" else int(text))
    return tuple(dict.fromkeys(found))


def check_labels(split: "Split", labels: Sequence[str], weights: str) -> None:
    """Refuse a corpus with labels that the weights do not know, or without any label.

    Raises:
        CorpusError: so it is.
    """
    from erc_live.models.errors import CorpusError

    used = {u.label for dialogue in split.dialogues for u in dialogue.utterances if u.label is not None}
    where = f"{split.corpus}, {split.name}"
    if not used:
        raise CorpusError(f"{where}: no utterance has a label to score; `erc-live predict` labels a corpus")
    unknown = sorted(used - set(labels))
    if unknown:
        raise CorpusError(
            f"{where}: label {', '.join(unknown)} is not known to the weights {weights}, whose labels are "
            f"{', '.join(labels)}: rename with `erc-live corpus convert --map {unknown[0]}={labels[0]}`, or train"
        )


def _runs(name: str, corpus: Path, split: "Split", plan: _Questions) -> "list[Evaluation]":
    """Every question of the plan to one model."""
    from erc_live.live.commands import evaluation_report
    from erc_live.live.commands.network_inputs import NetworkInputs
    from erc_live.models import checkpoint
    from erc_live.models.training.confidences import calibrated, confidences, present
    from erc_live.models.training.dialogue_dataset import modalities_of, only
    from erc_live.models.training.dimension_scores import rated_dimensions
    from erc_live.models.training.evaluation import classify
    from erc_live.models.training.metrics import Scores
    from erc_live.models.training.ratings import ratings

    loaded = checkpoint.load(name)
    if loaded.card.learnt(split.corpus, split.name):
        err.print(
            f"warning: {name} has learnt from {split.corpus} {split.name} and scores too well on it; what it is worth "
            "there stands on its card, by folds",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    card, causal = loaded.card, loaded.model.config.causal
    if causal and any(ahead != 0 for ahead in plan.ahead):
        raise ConfigError(
            f"--look-ahead: {name} is a causal {card.network} and cannot use what follows; "
            f"its two-sided twin can: erc-live train --network {card.network} --size causal=false"
        )
    check_labels(split, card.labels, name)
    inputs = NetworkInputs(name, loaded, plan.processes)
    data = inputs.composed(corpus, plan.compose) if plan.compose else inputs.of(split)
    there = modalities_of(data)
    subsets = tuple(dict.fromkeys(tuple(m for m in subset if m in there) for subset in plan.subsets))
    questions = [
        (subset, ahead) for subset in subsets if subset for ahead in plan.ahead or ((0,) if causal else (None,))
    ]
    if not questions:
        raise ConfigError(f"--modalities: {split.corpus} has only {', '.join(there) or 'none of them'}")
    runs, divisor = [], _temperature(card)
    with counting() as bars:
        for subset, ahead in questions:
            task = bars.add_task(f"{Path(name).name} {evaluation_report.short(subset)}")
            progress = partial(_show, bars, task)
            heard = only(data, subset)
            answers = calibrated(classify(loaded.model, heard, progress, ahead), card, present(heard))
            temperatures, thresholds = confidences(card, present(heard))
            divisors = None if divisor is None else divisor * temperatures
            scores = Scores.of(answers, card.labels, thresholds, divisors)
            asked = (name, card.network, card.labels, subset, ahead)
            rated = rated_dimensions(ratings(heard), answers, card.labels, plan.coordinates)
            runs.append(evaluation_report.Evaluation(*asked, answers, scores, bool(plan.compose), rated))
    return runs


def _show(bars: "Progress", task: "TaskID", done: int, total: int) -> None:
    bars.update(task, completed=done, total=total)


def _temperature(card: "Card") -> float | None:
    """By which the logits in the weights have been divided, if the card tells."""
    found = card.scores.get("dev", {}).get("temperature")
    return None if found is None else float(found)
