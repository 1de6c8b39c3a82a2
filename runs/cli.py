"""What the entry points share on the command line: Hydra, and one clear line where the user's input is wrong.

Imports Hydra alone, so that ``--help`` and ``--cfg job`` answer at once.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from partial_labels.errors import CLAIMED, InputError, Interrupted, one_line
from runs.configuration.targets import parameters, resolve, suggest
from runs.quoting import typed_argument
from runs.sweeps.sweep import SweepFailedError, isolated, resumed_arguments

Main = Callable[[DictConfig], float | None]
EXPECTED = (InputError, OmegaConfBaseException, OSError)
"""What the user can mend: shown in one line."""
FAILURE = "failure.txt"
"""Says in the directory of a run why it failed."""
OPENING = ("", *"[{('\"")
"""How a value begins that is no plain text."""
LAUNCHERS = ("joblib", "submitit_local", "submitit_slurm")
"""Hydra's launchers that are installed on their own."""


class JobFailedError(Exception):
    """A job of a sweep failed and was reported; the other jobs go on."""


def run_cli(main: Main, config_name: str, config_path: str = "conf") -> None:
    """Run an entry point under Hydra; wrong input ends with one line on stderr and exit code 1.

    With ``debug=true`` the traceback is shown instead. An error that is no :class:`InputError` keeps its traceback
    always: it is ours, not the user's. In a sweep every failing job is reported when it fails, with its overrides, and
    those of ``train.py`` again at its end.
    A run that fails before it has written anything of its own leaves no directory behind.

    Args:
        main: Takes the composed config; its return value is what a sweeper optimises.
        config_name: Name of the root config, without ``.yaml``.
        config_path: Folder of the configs, relative to the file that defines ``main``.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing a shortened traceback and a hint
    # There is one store. Hydra would copy it whole for each group that --help lists, three times as slow as all else.
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]
    task = functools.wraps(main)(functools.partial(_run_job, main))
    main_thread = threading.current_thread() is threading.main_thread()
    terminate = signal.signal(signal.SIGTERM, _stop) if main_thread else None
    unraisable, sys.unraisablehook = sys.unraisablehook, _ask_again
    try:
        sys.argv[1:] = resumed_arguments(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=config_path, config_name=config_name)(task)()
    except JobFailedError:
        sys.exit(1)
    except SweepFailedError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except (Interrupted, KeyboardInterrupt) as error:
        stopped = error if isinstance(error, Interrupted) else Interrupted(signal.SIGINT)
        again = f"; continue with: python train.py {typed_argument('resume', stopped.run)}" if stopped.run else ""
        print(f"{stopped}{again}", file=sys.stderr)
        sys.exit(128 + stopped.signum)  # what shells expect: 130 after Ctrl-C, 143 after SIGTERM
    except (*EXPECTED, HydraException, ValueError) as error:
        if isinstance(error.__cause__, OSError) and "configure handler" in str(error):  # of the log file
            error = error.__cause__
        mended = error if isinstance(error, (*EXPECTED, HydraException)) else _wrong_choice(_conf_of(main, config_path))
        if mended is None or _debug():
            raise
        _fail(mended)
        sys.exit(1)
    finally:
        sys.unraisablehook = unraisable
        if terminate is not None:
            signal.signal(signal.SIGTERM, terminate)


def _stop(signum: int, frame: FrameType | None) -> None:
    """Let SIGTERM unwind the stack, so that what is half done is cleaned up."""
    raise Interrupted(signum)


def _ask_again(lost: sys.UnraisableHookArgs) -> None:
    """Stop a moment later where Python had to drop what :func:`_stop` raised, as in a weak reference's callback."""
    if isinstance(lost.exc_value, Interrupted):
        threading.Timer(0.1, os.kill, (os.getpid(), lost.exc_value.signum)).start()
    else:
        sys.__unraisablehook__(lost)


def explain(error: Exception) -> str:
    """Say in one line what is wrong with the input and what to write instead."""
    if isinstance(error, InputError):
        return one_line(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        if group == "hydra/launcher" and choice in LAUNCHERS:
            return f"{group}={choice}: its plugin is not installed: pip install 'partialseg[launchers]'"
        return f"{group or '--config-name'}={choice}: no such choice{suggest(choice, error.options or [])}"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}; check the path, its permissions and the space left"
    if isinstance(error, OverrideParseException):
        return _explain_override(str(error.override), _first_line(error))
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)) and cause.parent_node is not None:
        return _explain_key(str(cause.full_key), str(cause.key), cause.parent_node)
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key} is not set: add {cause.full_key}=..."
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{cause.full_key}: {_first_line(cause)}"
    if isinstance(error, ConfigCompositionException):
        return _explain_composition(one_line(error))
    return _first_line(error)


def _run_job(main: Main, cfg: DictConfig) -> float | None:
    """Run one job and report its failure at once; Hydra would report only the first of a sweep, at its end."""
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        with _all_or_nothing(), isolated() if sweep else nullcontext():
            result = main(cfg)
    except Exception as error:
        expected = isinstance(error, EXPECTED) and not _debug()
        reason = explain(error) if isinstance(error, EXPECTED) else f"{type(error).__name__}: {_first_line(error)}"
        if hasattr(error, CLAIMED):
            _note_failure(reason)
        if not sweep and not expected:
            raise
        name = Path(HydraConfig.get().runtime.output_dir).name  # Hydra counts anew where a sweep goes on
        job = f" in job {name} ({HydraConfig.get().job.override_dirname})" if sweep else ""
        if expected:
            _fail(error, job)
        else:
            traceback.print_exc()
        if not sweep:
            sys.exit(1)
        raise JobFailedError(reason) from error
    _note_failure(None)
    return result


def _note_failure(reason: str | None) -> None:
    """Write into the directory of a run that had begun why it failed; one that came to its end later loses the note."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    if reason is None:
        (folder / FAILURE).unlink(missing_ok=True)
    elif (folder / "config.yaml").is_file() and folder != Path.cwd():
        (folder / FAILURE).write_text(reason + "\n", encoding="utf-8")


def _explain_override(override: str, reason: str) -> str:
    """Say what Hydra's grammar does not take, and how a plain value with letters that it does not know is written."""
    if reason.startswith("Error parsing"):
        return f"cannot read {override!r}: write key=value"
    key, _, value = override.partition("=")
    remedy = f"; write the value in quotes inside quotes, as {typed_argument(key, value)}"
    return f"cannot read {override!r}: {reason}{'' if value[:1] in OPENING else remedy}"


def _explain_composition(text: str) -> str:
    """Say what to write instead, where Hydra does not or takes several lines for it."""
    if listed := re.match(r"Ambiguous value for argument '(.+?)' 1\. ", text):
        return f"{listed[1]}: for a sweep add -m, a list is written [a,b], and a text with a comma stands in quotes"
    if added := re.match(r"Multiple values for (\S+)\. |(\S+) appears more than once ", text):
        group = added[1] or added[2]
        return f"{group} is chosen already; write {group}=... without a plus"
    return text


@contextmanager
def _all_or_nothing() -> Iterator[None]:
    """Remove the job's directory where it fails with nothing in it but Hydra's own files, as after a refused input."""
    try:
        yield
    except BaseException:
        hydra_cfg = HydraConfig.get()
        folder = Path(hydra_cfg.runtime.output_dir)
        own = {hydra_cfg.output_subdir, f"{hydra_cfg.job.name}.log"}
        if folder != Path.cwd() and {path.name for path in folder.iterdir()} <= own:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _conf_of(main: Main, config_path: str) -> Path:
    return Path(inspect.getfile(main)).parent / config_path


def _wrong_choice(conf: Path) -> InputError | None:
    """Find the argument that gives a group a number or null, at which Hydra raises a bare ValueError."""
    for argument in sys.argv[1:]:
        group, _, value = argument.lstrip("~+").partition("=")
        if not group:
            return InputError(f"cannot read {argument!r}: write key=value")
        choices = [file.stem for file in (conf / group).glob("*.yaml")]
        wrong = next((word for word in value.strip("[]").split(",") if word.strip() not in choices), None)
        if choices and wrong is not None:
            return InputError(f"{group}={wrong}: no such choice{suggest(wrong, choices)}")
    return None


def _explain_key(path: str, key: str, parent: Any) -> str:
    """Explain a key that the config lacks: it may be misspelt, or an argument that only the target's code lists."""
    names = {str(name) for name in parent} if OmegaConf.is_dict(parent) else set()
    if "_target_" in names:
        arguments = parameters(resolve(parent["_target_"], path.rpartition(".")[0]))
        if key in arguments:
            return f"{path}: the config does not list it, but {parent['_target_']} takes it; write +{path}=..."
        names.update(arguments)
    names = {name for name in names if name != "hydra" and not name.startswith("_")}
    return f"{path}: the config has no such key{suggest(key, names)}"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _debug() -> bool:
    return any(argument.lstrip("+").lower() in ("debug=true", "debug=1") for argument in sys.argv[1:])


def _fail(error: Exception, job: str = "") -> None:
    sys.stdout.flush()
    print(f"error{job}: {explain(error)}", file=sys.stderr, flush=True)
