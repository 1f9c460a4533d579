"""Whole slides of a DICOMweb archive (QIDO-RS, WADO-RS), frame by frame, through wsidicom and dicomweb-client.

The address is that of a series: ``https://HOST/.../studies/UID/series/UID``. Frames that were read lie on the
disk as parts of files at addresses do, and errors of the network follow the same rules: asked again,
then told once. Nothing of the header is told in messages.
"""

from __future__ import annotations

import hashlib
import re
import time
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from napari_pathogan import addresses
from napari_pathogan.errors import SlideFormatError, SlideReadError
from napari_pathogan.slides.backends import blocks, remote
from napari_pathogan.slides.backends.quiet import quiet
from napari_pathogan.slides.backends.wsidicom import source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from dicomweb_client.api import DICOMwebClient
    from pydicom import Dataset
    from pydicom.uid import UID
    from requests import Session
    from wsidicom import WsiDicomWebClient

    from napari_pathogan.slides.source import Source

_SERIES = re.compile(r"(?P<base>.+)/studies/(?P<study>[\d.]+)/series/(?P<series>[\d.]+)/?")
_MOST_INSTANCES = 200  # of a series: levels, parts of them, label, overview
_HOW = "read over DICOMweb"

Result = TypeVar("Result")


def is_series(place: Path) -> bool:
    """Whether an address is that of a series in a DICOMweb archive."""
    return _SERIES.fullmatch(addresses.shown(place)) is not None


def open_dicomweb(place: Path) -> Source:
    """Open the slide of a series.

    Raises
    ------
    SlideFormatError
        If what reads it is not installed, or the series is no slide.
    SlideReadError
        If the archive can't be reached, or does not give it.
    """
    try:
        from dicomweb_client.api import DICOMwebClient  # noqa: PLC0415 - optional, slow to import
        from wsidicom import WsiDicom  # noqa: PLC0415
    except ImportError as error:
        raise SlideFormatError(
            f"{place.name} lies in a DICOMweb archive, which needs wsidicom and dicomweb-client: pip install "
            "'napari-pathogan[slides]'"
        ) from error
    found = _SERIES.fullmatch(addresses.shown(place))
    assert found is not None, "is_series has looked"
    client = DICOMwebClient(found["base"], session=_session(place))
    client.set_http_retry_params(retry=False)  # tried again here, by the rules of all addresses
    headers: dict[str, Dataset] = {}
    archive = _archive_of(place, client, headers)
    try:
        with quiet():
            slide = WsiDicom.open_web(archive, found["study"], found["series"])
            header = headers[str(slide.levels[0].default_instance.identifier)]
            return source_of(place, slide, header, _HOW)
    except (SlideFormatError, SlideReadError):
        raise
    except Exception as error:  # noqa: BLE001 - wsidicom and pydicom have no common error
        raise SlideFormatError(
            f"the series {place.name} at {_host(place)} can't be read as a slide ({type(error).__name__}); "
            "check the address, or download it and open its files"
        ) from None


def _archive_of(
    place: Path, client: DICOMwebClient, headers: dict[str, Dataset]
) -> WsiDicomWebClient:
    """A client of wsidicom that asks by the rules of addresses, and keeps frames on the disk.

    ``headers`` takes those that it reads, by the UIDs of their images.
    """
    from wsidicom import WsiDicomWebClient  # noqa: PLC0415 - optional, slow to import

    host, cache = _host(place), blocks.shared()
    base = addresses.shown(place)
    asking = _Asking(place.name, host)

    class Archive(WsiDicomWebClient):  # type: ignore[misc]
        def get_wsi_instances(
            self, study_uid: UID, series_uids: Iterable[UID]
        ) -> Iterator[tuple[UID, UID, set[UID] | None]]:
            ask = super().get_wsi_instances
            found = asking(lambda: list(islice(ask(study_uid, series_uids), _MOST_INSTANCES + 1)))
            if len(found) > _MOST_INSTANCES:
                raise SlideFormatError(
                    f"the series {place.name} claims more images than a slide has"
                )
            told = hashlib.sha256(repr(sorted(str(one[1]) for one in found)).encode()).hexdigest()
            addresses.note_state(place, told)
            return iter(found)

        def get_annotation_instances(
            self, study_uid: UID, series_uids: Iterable[UID]
        ) -> Iterator[tuple[UID, UID, set[UID] | None]]:
            del study_uid, series_uids  # what is drawn on the slide is opened by itself
            return iter(())

        def get_instance(self, study_uid: UID, series_uid: UID, instance_uid: UID) -> Dataset:
            ask = super().get_instance
            header = asking(lambda: ask(study_uid, series_uid, instance_uid))
            headers[str(instance_uid)] = header
            return header

        def get_frames(
            self,
            study_uid: UID,
            series_uid: UID,
            instance_uid: UID,
            frame_indices: list[int],
            transfer_syntax: UID,
        ) -> Iterator[bytes]:
            ask = super().get_frames
            for number in frame_indices:
                key = f"{base}|{instance_uid}|{number}|{transfer_syntax}"
                frame = cache.get(key)
                if frame is None:
                    one = partial(ask, study_uid, series_uid, instance_uid, [number])
                    frame = asking(partial(_only, one, transfer_syntax))
                    cache.put(key, frame)
                yield frame

    return Archive(client)


def _only(ask: Callable[[UID], Iterator[bytes]], transfer_syntax: UID) -> bytes:
    """The one frame that is asked for."""
    frame = next(ask(transfer_syntax), b"")
    if not frame:
        raise _CutOffError
    return bytes(frame)  # of a bytearray pydicom makes a list


class _CutOffError(Exception):
    """An answer without what was asked for."""


class _Asking:
    """Asks an archive, several times where the network fails; then says so once, and rests a while.

    Parameters
    ----------
    name, host
        Of the series and its archive, for messages.
    """

    def __init__(self, name: str, host: str) -> None:
        self._name, self._host = name, host
        self._failed: tuple[float, str] | None = None

    def __call__(self, ask: Callable[[], Result]) -> Result:
        """What is asked for.

        Raises
        ------
        SlideReadError
            If it can't be had.
        """
        failed = self._failed
        if failed is not None and time.monotonic() - failed[0] < remote.PAUSE:
            raise SlideReadError(failed[1])
        why = ""
        for wait in (0.0, *remote.WAITS):
            time.sleep(wait)
            try:
                return ask()
            except Exception as error:  # noqa: BLE001 - what asking again does not mend is raised
                why = self._why(error)
        said = (
            f"{self._host} does not give {self._name}: {why}, {1 + len(remote.WAITS)} times over; check the "
            "network, and try again"
        )
        self._failed = time.monotonic(), said
        raise SlideReadError(said)

    def _why(self, error: Exception) -> str:
        """What went wrong on the way, in a few words; raises what asking again does not mend."""
        import requests  # noqa: PLC0415 - comes with dicomweb-client

        if isinstance(error, requests.HTTPError):
            return self._refused(error, 0 if error.response is None else error.response.status_code)
        if isinstance(error, requests.Timeout) or "timed out" in str(error):
            return "it does not answer in time"
        if isinstance(error, requests.exceptions.SSLError):
            raise SlideReadError(
                f"nobody whom this computer trusts has certified {self._host}; name the certificates of "
                "your house in REQUESTS_CA_BUNDLE, if it is theirs"
            ) from None
        if isinstance(error, _CutOffError | requests.exceptions.ChunkedEncodingError):
            return "the connection is cut"
        if isinstance(error, requests.ConnectionError):
            cut = any(word in str(error) for word in ("aborted", "IncompleteRead", "reset"))
            return "the connection is cut" if cut else "it can't be reached"
        if isinstance(error, ValueError):  # parts without an end, or what is no JSON
            return "its answer is cut off, or none of DICOMweb"
        raise error

    def _refused(self, error: Exception, status: int) -> str:
        if status == HTTPStatus.NOT_ACCEPTABLE:
            raise error  # wsidicom tries another transfer syntax
        if status in {401, 403}:
            raise remote.ForbiddenError(
                f"{self._host} does not give {self._name} without permission; log in by "
                "https://USER:PASSWORD@HOST/..."
            ) from None
        if status == HTTPStatus.NOT_FOUND:
            raise SlideFormatError(
                f"there is no series {self._name} at {self._host}, or not all of it; check the address"
            ) from None
        if status and status not in remote.PASSING:
            said = f"{self._host} answers error {status} to {self._name}; check the address"
            raise SlideReadError(said) from None
        return f"it answers with error {status}"


def _host(place: Path) -> str:
    return urlsplit(addresses.shown(place)).netloc


def _session(place: Path) -> Session:
    """Of requests, with what the address is opened by, and an end to waiting."""
    import requests  # noqa: PLC0415 - comes with dicomweb-client
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    class Timed(HTTPAdapter):
        def send(self, *args: Any, **options: Any) -> requests.Response:
            options["timeout"] = (remote.CONNECT.total_seconds(), remote.ANSWER.total_seconds())
            return super().send(*args, **options)

    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, Timed(pool_maxsize=16))
    login, _, password = addresses.login_of(place).partition(":")
    if login:
        session.auth = (login, password)
    session.params = dict(parse_qsl(addresses.query_of(place)))
    return session
