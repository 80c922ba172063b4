"""The study of `erc-live tune`: what is searched, its trials, and what it leaves in its folder.

A trial of folds keeps its weighted F1 by seed and in every draw of the dialogues in the journal, so all trials, earlier
ones included, are compared on the same draws.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shutil import rmtree
from statistics import mean
from typing import TYPE_CHECKING, Any

from erc_live.live.commands.places import cache_folder
from erc_live.live.commands.tune_report import Chosen, Tried, report
from erc_live.live.errors import ConfigError, EngineError
from erc_live.live.screen.console import out, print_line
from erc_live.live.screen.progress import counting
from erc_live.models.files import whole

if TYPE_CHECKING:
    import optuna

    from erc_live.models.training.dialogue_dataset import DialogueDataset
    from erc_live.models.training.graph_config import Report, TrainConfig
    from erc_live.models.training.metrics import Answers
    from erc_live.models.training.setting_choice import Setting

JOURNAL, BEST = "study.log", "best.json"
FOLDER, BY_SEED, DRAWN = "folder", "by_seed", "drawn"  # attributes of a trial
KEY = "key"  # attribute of a study: names all that its trials depend on beside their options
STARTUP = 8  # trials that are drawn at random, and run to their end, before anything is concluded from them


def require_optuna() -> None:
    """Raises EngineError where the library that draws the trials is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise EngineError("tuning needs optuna: pip install 'erc-live[learn]'") from error


def open_study(folder: Path, base: "TrainConfig", data: "DialogueDataset", encoder: Path) -> "optuna.Study":
    """The study in a folder, or a new one.

    Raises:
        ConfigError: it is of other data or options, with which its trials cannot be compared.
        WeightsError: the text encoder or the network is none.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    from erc_live.models.encoders.text import fingerprint_with_head

    usual = usual_options(base)
    key = hashlib.sha256(repr((data.digest(), fingerprint_with_head(encoder), base)).encode()).hexdigest()[:16]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        study_name=base.network,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=STARTUP, multivariate=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=1 if base.folds else 2),
        load_if_exists=True,
    )
    unnamed = "" if base.folds and study.trials else key  # of before there were folds
    if study.user_attrs.get(KEY, unnamed) != key:
        raise ConfigError(
            f"--out {folder}: its study is of another corpus, encoder, --folds, --seeds, --epochs or --modalities, and "
            "its trials cannot be compared with these: repeat those, or give another folder"
        )
    study.set_user_attr(KEY, key)
    if base.folds and not study.trials:
        study.enqueue_trial(usual)
    return study


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
        missing_audio=trial.suggest_float("missing_audio", 0.0, 0.5, step=0.05),
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


def usual_options(base: "TrainConfig") -> dict[str, Any]:
    """What `space` would draw to train as `erc-live train` does unasked.

    Raises:
        WeightsError: there is no such network.
    """
    from erc_live.models.training.graph_task import sizes_of

    sizes = sizes_of(base.network)
    own = ("window", "dropout", *(("width", "layers", "smoothing") if base.network == "dialogue_graph" else ()))
    return {
        **{name: sizes[name] for name in own},
        "missing_audio": base.disturbance.missing_audio,
        "missing_text": base.disturbance.missing_text,
        "rate": base.rate,
        "batch": base.batch_utterances,
        "weight_decay": base.weight_decay,
        "average": base.ema,
        "balance": base.balance,
    }


@dataclass(frozen=True)
class Search:
    """A study and what its trials learn from; they are scored on so many labelled `utterances`."""

    study: "optuna.Study"
    data: "DialogueDataset"
    encoder: Path
    base: "TrainConfig"
    folder: Path
    utterances: int

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
                self._store(trial, self._score(trial, lambda **state: shown.update(one, **state)))
                shown.update(every, completed=self.done)

    def _score(self, trial: "optuna.Trial", show: Callable[..., None]) -> float | None:
        """The mean of the weighted F1 over the seeds; None if the trial was given up."""
        return (self._in_folds if self.base.folds else self._on_dev)(trial, show)

    def _in_folds(self, trial: "optuna.Trial", show: Callable[..., None]) -> float | None:
        """Of the answers of all folds together."""
        from erc_live.models.training.graph_config import Run
        from erc_live.models.training.graph_folds import fold_answers, joined
        from erc_live.models.training.pooled import weighted_figure

        folds: list[list[Answers]] = []

        def watch(report: "Report") -> None:
            _show_report(report, f"trial {trial.number}  fold {len(folds) + 1} of {self.base.folds}", show)

        config = space(trial, self.base)
        run = Run(self.folder / _folder(trial), cache_folder(), resume=True, watch=watch)
        for answers in fold_answers(self.data, self.encoder, config, run):
            folds.append(answers)
            trial.report(mean(joined(of_seed).weighted_f1() for of_seed in zip(*folds, strict=True)), len(folds))
            if len(folds) < self.base.folds and trial.should_prune():
                return None
        figure = weighted_figure([joined(of_seed) for of_seed in zip(*folds, strict=True)])
        trial.set_user_attr(BY_SEED, list(figure.by_seed))
        trial.set_user_attr(DRAWN, figure.drawn.tolist())
        return figure.mean

    def _on_dev(self, trial: "optuna.Trial", show: Callable[..., None]) -> float | None:
        """Of the best epoch of each seed on dev."""
        from erc_live.models.training.graph_config import Run
        from erc_live.models.training.graph_training import train_graph
        from erc_live.models.training.trainer import EpochDone

        def watch(report: "Report") -> None:
            _show_report(report, f"trial {trial.number}", show)
            if isinstance(report, EpochDone) and report.seed == self.base.seeds[0]:
                trial.report(report.best, report.epoch)
                if trial.should_prune():
                    raise _Hopeless

        run = Run(self.folder / _folder(trial), cache_folder(), resume=True, watch=watch)
        try:
            card = train_graph(self.data, self.encoder, space(trial, self.base), run).card
        except _Hopeless:
            return None
        return float(card.training["seeds"]["weighted_f1"]["mean"])

    def _store(self, trial: "optuna.Trial", score: float | None) -> None:
        """Write down how a trial ended, and the options that are chosen by now."""
        import optuna

        state = optuna.trial.TrialState.PRUNED if score is None else optuna.trial.TrialState.COMPLETE
        self.study.tell(trial, score, state=state)
        rmtree(self.folder / _folder(trial), ignore_errors=True)
        reached = "given up" if score is None else f"{self._scored_on} W-F1 {score:.4f}"
        ended = self._ended()
        if not ended:
            print_line(f"trial {trial.number}  {reached}")
            return
        chosen = self._chosen(ended)
        stands = next(one for one in ended if one.number == chosen.number)
        print_line(f"trial {trial.number}  {reached}  chosen {stands.value:.4f} (trial {stands.number})")
        config = space(optuna.trial.FixedTrial(stands.params), self.base)
        score_name = "weighted_f1" if self.base.folds else "dev_weighted_f1"
        content = {score_name: stands.value, "trial": stands.number, "config": asdict(config), "search": chosen.search}
        with whole(self.folder / BEST) as part:
            part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @property
    def _scored_on(self) -> str:
        return f"{self.base.folds} folds" if self.base.folds else "dev"

    def _ended(self) -> "list[optuna.trial.FrozenTrial]":
        """The trials that ran to their end, in their order."""
        import optuna

        return self.study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])

    def _chosen(self, ended: "list[optuna.trial.FrozenTrial]") -> Chosen:
        """Which trial is chosen, and how, for the card."""
        from erc_live.models.training.setting_choice import select

        best = max(ended, key=lambda trial: trial.value or 0.0)
        search: dict[str, Any] = {
            "chosen_on": self._scored_on,
            "utterances": self.utterances,
            "settings": self.done,
            "given_up": self.done - len(ended),
            "best": best.number,
        }
        if not self.base.folds:
            return Chosen(best.number, {**search, "chosen": best.number, "weighted_f1": best.value})
        settings = {trial.number: _setting(trial) for trial in ended}
        chosen, first = select(list(settings.values())), settings[ended[0].number]
        gains = {
            name: {**asdict(gain), "none": gain.none}
            for name, gain in (
                ("against_first", chosen.score.against(first.score)),
                ("best_against_chosen", settings[best.number].score.against(chosen.score)),
            )
        }
        low, high = chosen.score.interval
        reached = {"mean": chosen.score.mean, "sd": chosen.score.sd, "low": low, "high": high}
        return Chosen(chosen.number, {**search, "chosen": chosen.number, "weighted_f1": reached, **gains})

    def show(self) -> None:
        """The best trials, which is chosen, and where its options are."""
        ended = self._ended()
        if not ended:
            raise ConfigError(f"{self.folder}: all {self.done} trials were given up: go on with more --trials")
        tried = [
            Tried(trial.number, trial.value or 0.0, trial.params, _setting(trial).score if self.base.folds else None)
            for trial in ended
        ]
        out.print(report(tried, self._chosen(ended)))
        more = f" --epochs {self.base.epochs} --folds {self.base.folds}" if self.base.folds else ""
        best = self.folder / BEST
        print_line(f"{best}: train with these options: erc-live train --options {best}{more}", out)


class _Hopeless(Exception):
    """Half of the earlier trials were better at this epoch."""


def _setting(trial: "optuna.trial.FrozenTrial") -> "Setting":
    import torch

    from erc_live.models.training.pooled import Figure
    from erc_live.models.training.setting_choice import Setting

    drawn = torch.tensor(trial.user_attrs[DRAWN], dtype=torch.float64)
    return Setting(trial.number, Figure(tuple(trial.user_attrs[BY_SEED]), drawn))


def _show_report(report: "Report", where: str, show: Callable[..., None]) -> None:
    """How far an epoch is, as a bar."""
    from erc_live.models.training.trainer import StepDone

    if isinstance(report, StepDone):
        place = f"{where}  seed {report.seed}  epoch {report.epoch + 1}"
        show(description=place, completed=report.done, total=report.total)


def _folder(trial: "optuna.Trial | optuna.trial.FrozenTrial") -> str:
    """Where the run of a trial lies; one that was broken off keeps its place."""
    return str(trial.user_attrs.get(FOLDER, f"trial-{trial.number}"))
