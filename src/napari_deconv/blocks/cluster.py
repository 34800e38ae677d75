"""A connection to a Dask cluster that is already running, checked before work is sent to it."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deconv.errors import DeconvError, DeconvWarning

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["use_cluster"]

_ALIKE = ("python", "dask", "distributed", "napari-deconv")
"""What scheduler and workers must have in the client's version: results and messages depend on it.
"""


def use_cluster(scheduler: str | os.PathLike[str], *, timeout: float = 30.0) -> Client:
    """Compute on a Dask cluster that is already running.

    While the connection is open, Dask computes there: `prepare_blocks` measures the image on its
    workers, plans tiles that fit their memory, and `write_blocks` has them written there. So it is
    with a `distributed.Client` made otherwise; but then versions are not compared, and warnings of
    workers stay there.

    Parameters
    ----------
    scheduler : str or path-like
        Its address, such as ``"tcp://node17:8786"``, or the file that ``dask scheduler
        --scheduler-file`` has written.
    timeout : float
        Seconds to wait for the scheduler to answer, and for a first worker.

    Returns
    -------
    distributed.Client
        To be closed after use, by ``with`` for example. Until then each `DeconvWarning` of a
        worker is given here as well.

    Raises
    ------
    DeconvError
        If the package ``distributed`` is missing, the file is none of a scheduler, nobody answers,
        there are no workers, or they have other versions of Python, Dask or napari-deconv.
    """
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ModuleNotFoundError:
        raise DeconvError(
            "A cluster needs the package distributed, which is not installed: "
            'pip install "napari-deconv[distributed]".'
        ) from None
    given = os.fspath(scheduler)
    address = given if "://" in given else _address_in(Path(given))
    try:
        get_address_host_port(address)
    except ValueError as error:
        raise DeconvError(
            f"{address} is no address of a Dask scheduler: {error}. Expected one such as "
            "tcp://node17:8786."
        ) from None
    try:
        client = Client(address, timeout=timeout)
    except OSError as error:
        raise DeconvError(
            f"No Dask scheduler answers at {address} within {timeout:g} s: is it running, and does "
            f"a firewall let this machine reach it? ({error})"
        ) from error
    try:
        _wait_for_workers(client, address, timeout)
        _check_versions(client.get_versions(packages=["napari-deconv"]))
        _forward_warnings(client)
    except BaseException:
        client.close()
        raise
    return client


def _address_in(file: Path) -> str:
    """Read the address in a scheduler file."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["address"])
    except FileNotFoundError:
        raise DeconvError(
            f"There is no scheduler file {file}: give the one that `dask scheduler "
            f"--scheduler-file {file}` writes, or an address such as tcp://node17:8786."
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise DeconvError(
            f"{file} is no scheduler file: expected the JSON that `dask scheduler "
            "--scheduler-file` writes, or an address such as tcp://node17:8786."
        ) from None


def _wait_for_workers(client: Client, address: str, timeout: float) -> None:
    try:
        client.wait_for_workers(1, timeout=timeout)
    except TimeoutError:
        raise DeconvError(
            f"The Dask scheduler at {address} has no workers within {timeout:g} s: start some, "
            f"with `dask worker {address} --nthreads 1` for example."
        ) from None


def _check_versions(versions: dict[str, Any]) -> None:
    """Compare what `distributed.Client.get_versions` tells of scheduler and workers with us."""
    here = _packages(versions["client"])
    others = {"the scheduler": versions["scheduler"]} | {
        f"worker {address}": each for address, each in versions["workers"].items()
    }
    for who, each in others.items():
        for package, there in _packages(each).items():
            if there != here[package]:
                raise DeconvError(
                    f"{who[0].upper()}{who[1:]} has {package} {there or 'not installed'}, here it "
                    f"is {here[package]}: use the same environment on all machines."
                )


def _packages(versions: dict[str, Any]) -> dict[str, str | None]:
    """Take the versions that matter, of Python without the bugfix number."""
    packages = {name: versions["packages"].get(name) for name in _ALIKE}
    return packages | {"python": ".".join(packages["python"].split(".")[:2])}


def _forward_warnings(client: Client) -> None:
    """Have the workers' `DeconvWarning`s given here too."""
    from napari_deconv.blocks.worker import TOPIC, ForwardWarnings

    client.subscribe_topic(TOPIC, _warn)
    client.register_plugin(ForwardWarnings())


def _warn(event: tuple[float, Any]) -> None:
    warnings.warn(event[1], DeconvWarning, stacklevel=2)
