"""`erc-live tune`: search for better options of a network, on dev alone, for as long as one likes.

The study is a folder: a journal of all trials, the best options as JSON, and the run that is going on. Ctrl-C ends it
at any time; the same command goes on, and a trial that was broken off goes on from its last epoch.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table

from erc_live.live.commands.options import (
    Compose,
    Corpora,
    Encoder,
    Modalities,
    Network,
    Processes,
    Seeds,
    modality_names,
    seed_numbers,
)
from erc_live.live.commands.places import cache_folder
from erc_live.live.errors import ConfigError, EngineError
from erc_live.live.screen.console import err, out
from erc_live.live.screen.progress import counting
from erc_live.models.files import whole

if TYPE_CHECKING:
    import optuna

    from erc_live.models.training.dialogue_dataset import DialogueDataset
    from erc_live.models.training.graph_config import Report, TrainConfig

INTERRUPTED = 130  # as shells count it
JOURNAL, BEST = "study.log", "best.json"
FOLDER = "folder"  # attribute of a trial
STARTUP = 8  # trials that are drawn at random, and run to their end, before anything is concluded from them
BEST_TRIALS = 5  # best trials in the table


def tune(
    corpus: Corpora,
    into: Annotated[Path, typer.Option("--out", help="Folder of the study; one that is there is gone on with.")],
    network: Network = "dialogue_graph",
    trials: Annotated[int, typer.Option(min=1, help="How many in all, earlier ones included.")] = 40,
    modalities: Modalities = "tav",
    seeds: Seeds = "1",
    epochs: Annotated[int, typer.Option(min=1, help="At most, of each trial and seed.")] = 15,
    compose: Compose = None,
    encoder: Encoder = None,
    processes: Processes = 1,
) -> None:
    """Search for better options of a network; only the dev split is asked. Ctrl-C ends it, the same command goes on."""
    from erc_live.live.commands.datasets import dialogue_dataset, text_folder
    from erc_live.models.training.graph_config import TrainConfig

    study = _open(into, network)
    data = dialogue_dataset(corpus, None, compose or [], processes)
    for note in data.check():
        err.print(f"warning: {note}", style="yellow", markup=False, soft_wrap=True)
    base = TrainConfig(
        network=network,
        seeds=seed_numbers(seeds),
        modalities=modality_names(modalities),
        epochs=epochs,
        patience=max(2, epochs // 3),
    )
    search = _Search(study, data, text_folder(encoder, None), base, into)
    try:
        search.run(trials)
    except KeyboardInterrupt:
        err.print(f"stopped after {search.done} trials: the same command goes on in {into}", markup=False)
        raise typer.Exit(INTERRUPTED) from None
    search.show()


def space(trial: "optuna.trial.BaseTrial", base: "TrainConfig") -> "TrainConfig":
    """What is searched. The published networks keep their own shape, but for dropout and window."""
    sizes: dict[str, Any] = {
        "window": trial.suggest_categorical("window", [5, 10, 16, 32]),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6, step=0.1),
    }
    if base.network == "dialogue_graph":
        sizes["width"] = trial.suggest_categorical("width", [64, 128, 192, 256])
        sizes["layers"] = trial.suggest_int("layers", 1, 3)
        sizes["smoothing"] = trial.suggest_float("smoothing", 0.0, 0.2, step=0.05)
    else:
        sizes["causal"] = True
    disturbance = replace(
        base.disturbance,
        missing_audio=trial.suggest_float("missing_audio", 0.0, 0.5, step=0.1),
        missing_text=trial.suggest_float("missing_text", 0.0, 0.3, step=0.1),
    )
    return replace(
        base,
        sizes=sizes,
        rate=trial.suggest_float("rate", 1e-4, 3e-3, log=True),
        batch_utterances=trial.suggest_categorical("batch", [32, 64, 128, 256]),
        weight_decay=trial.suggest_float("weight_decay", 1e-3, 0.3, log=True),
        ema=trial.suggest_categorical("average", [0.0, 0.9, 0.99, 0.995]),
        balance=trial.suggest_float("balance", 0.0, 0.6, step=0.1),
        disturbance=disturbance,
    )


def _open(folder: Path, network: str) -> "optuna.Study":
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise EngineError("tuning needs optuna: pip install 'erc-live[learn]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        study_name=network,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=STARTUP, multivariate=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=2),
        load_if_exists=True,
    )


@dataclass(frozen=True)
class _Search:
    """A study and what its trials learn from."""

    study: "optuna.Study"
    data: "DialogueDataset"
    encoder: Path
    base: "TrainConfig"
    folder: Path

    @property
    def done(self) -> int:
        """Trials that have ended, by their score or because they were hopeless."""
        return sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in self.study.trials)

    def run(self, trials: int) -> None:
        """Trials until there are so many, first those that were broken off."""
        import optuna

        for broken in self.study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            self.study.tell(broken.number, state=optuna.trial.TrialState.FAIL)
            self.study.enqueue_trial(broken.params, user_attrs={FOLDER: _folder(broken)})
        with counting() as shown:
            every = shown.add_task("trials", total=trials, completed=self.done)
            one = shown.add_task("")
            while self.done < trials:
                trial = self.study.ask()
                score = self._score(trial, lambda **state: shown.update(one, **state))
                self._keep(trial, score)
                shown.update(every, completed=self.done)

    def _score(self, trial: "optuna.Trial", show: Callable[..., None]) -> float | None:
        """Mean over the seeds of the best weighted F1 on dev; None if it was given up."""
        from erc_live.models.training.graph_config import Run
        from erc_live.models.training.graph_training import train_graph
        from erc_live.models.training.trainer import EpochDone, StepDone

        def watch(report: "Report") -> None:
            if isinstance(report, StepDone):
                where = f"trial {trial.number}  epoch {report.epoch + 1}"
                show(description=where, completed=report.done, total=report.total)
            elif isinstance(report, EpochDone) and report.seed == self.base.seeds[0]:
                trial.report(report.best, report.epoch)
                if trial.should_prune():
                    raise _Hopeless

        run = Run(self.folder / _folder(trial), cache_folder(), resume=True, watch=watch)
        try:
            card = train_graph(self.data, self.encoder, space(trial, self.base), run).card
        except _Hopeless:
            return None
        return float(card.training["seeds"]["weighted_f1"]["mean"])

    def _keep(self, trial: "optuna.Trial", score: float | None) -> None:
        """Write down how a trial ended, and the options of the best one."""
        import optuna

        state = optuna.trial.TrialState.PRUNED if score is None else optuna.trial.TrialState.COMPLETE
        self.study.tell(trial, score, state=state)
        rmtree(self.folder / _folder(trial), ignore_errors=True)
        reached = "given up" if score is None else f"dev W-F1 {score:.4f}"
        if not self.study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE]):
            err.print(f"trial {trial.number}  {reached}", highlight=False)
            return
        best = self.study.best_trial
        err.print(f"trial {trial.number}  {reached}  best {best.value:.4f} (trial {best.number})", highlight=False)
        config = space(optuna.trial.FixedTrial(best.params), self.base)
        found = {"dev_weighted_f1": best.value, "trial": best.number, "config": asdict(config)}
        with whole(self.folder / BEST) as part:
            part.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")

    def show(self) -> None:
        """The best trials, and where their options are."""
        import optuna

        ended = self.study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
        best = sorted(ended, key=lambda trial: trial.value or 0.0, reverse=True)[:BEST_TRIALS]
        table = Table(box=None, pad_edge=False)
        for title in ("trial", "dev W-F1", "options"):
            table.add_column(title, justify="left" if title == "options" else "right")
        for trial in best:
            options = "  ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
            table.add_row(str(trial.number), f"{trial.value:.4f}", options)
        out.print(table)
        out.print(
            f"{self.folder / BEST}: train as the best one with: erc-live train --options {self.folder / BEST}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


class _Hopeless(Exception):
    """Half of the earlier trials were better at this epoch."""


def read_options(path: Path) -> "TrainConfig":
    """The options of the best trial, as `tune` writes them.

    Raises:
        ConfigError: the file is not there, or nothing that `tune` wrote.
    """
    from erc_live.models.training.graph_config import TrainConfig

    try:
        return msgspec.convert(json.loads(path.read_text(encoding="utf-8"))["config"], TrainConfig)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"--options {path}: not a file that `erc-live tune` wrote ({error})") from error


def _folder(trial: "optuna.Trial | optuna.trial.FrozenTrial") -> str:
    """Where the run of a trial lies; one that was broken off keeps its place."""
    return str(trial.user_attrs.get(FOLDER, f"trial-{trial.number}"))


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
