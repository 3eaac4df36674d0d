"""What a farm says that it can do."""

from __future__ import annotations

from lamina.core.classes import dataclass
from lamina.core.errors import ServiceError
from lamina.formats import remote_pb2 as pb
from lamina.store.remote.connection import Connection, refusal
from lamina.store.remote.errors import FarmError, FarmRefuses

_SHA256, _ZSTD, _LINKS_REFUSED = 1, 1, 1  # DigestFunction, Compressor, SymlinkAbsolutePathStrategy
_USUAL = 4 << 20  # bytes of a message that gRPC takes unless it is told otherwise
_FRAME = 64 << 10  # bytes that are left for what is around the blobs of a message
_PATIENCE = 10.0  # seconds to answer the first question
_SERVICE = "/build.bazel.remote.execution.v2.Capabilities/GetCapabilities"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What counts of it here."""

    batch: int = _USUAL - _FRAME  # bytes of blobs in one message
    largest: int = 0  # bytes of a blob; 0 is any
    zstd: bool = False  # for blobs that are streamed
    zstd_batch: bool = False  # for those of one message
    updates: bool = False  # whether results from here are taken
    executes: bool = False
    outer_links: bool = True  # whether inputs may be links to absolute paths
    version: tuple[int, int] = (2, 0)  # the highest of the API


def ask(connection: Connection, instance: str) -> Capabilities:
    """Ask an endpoint; raises FarmRefuses for one that is of no use, FarmError where it fails."""
    patience = min(_PATIENCE, connection.farm.timeout)
    request = pb.GetCapabilitiesRequest(instance_name=instance)
    try:
        told = connection.ask(_SERVICE, request, pb.ServerCapabilities, timeout=patience)
    except FarmError as error:
        raise refusal(connection.endpoint, error) from error
    return _read(told, str(connection.endpoint))


def _read(told: pb.ServerCapabilities, where: str) -> Capabilities:
    low = (told.low_api_version.major, told.low_api_version.minor)
    high = (told.high_api_version.major, told.high_api_version.minor)
    if high < (2, 0) or low >= (3, 0):
        raise _of_no_use(
            f"speaks version {high[0]}.{high[1]} of the Remote Execution API, not 2", where
        )
    cache, execution = told.cache_capabilities, told.execution_capabilities
    functions = {*cache.digest_functions, *execution.digest_functions, execution.digest_function}
    if functions - {0} and _SHA256 not in functions:
        raise _of_no_use("does not name blobs by sha256", where)
    limit = cache.max_batch_total_size_bytes
    return Capabilities(
        batch=min(limit or _USUAL, _USUAL) - _FRAME if limit == 0 or limit > 2 * _FRAME else limit,
        largest=cache.max_cas_blob_size_bytes,
        zstd=_ZSTD in cache.supported_compressors,
        zstd_batch=_ZSTD in cache.supported_batch_update_compressors,
        updates=cache.action_cache_update_capabilities.update_enabled,
        executes=execution.exec_enabled,
        outer_links=cache.symlink_absolute_path_strategy != _LINKS_REFUSED,
        version=high,
    )


def _of_no_use(what: str, where: str) -> ServiceError:
    return FarmRefuses(f"the build farm `{where}` {what}", "UNIMPLEMENTED")
