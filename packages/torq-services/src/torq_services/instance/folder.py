"""A running instance on disk: its folder, its configuration, its services."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import msgspec

from torq_relays import prepare
from torq_services.instance.config import Config
from torq_types import ConfigError, Domain

__all__ = ["RELAY_DOMAINS", "Instance", "Rank", "ServiceSpec", "using"]

RELAY_DOMAINS = {f"relay-{domain.slug}": domain for domain in Domain}


@contextmanager
def using(path: Path) -> Iterator[None]:
    """What cannot be done with ``path`` is a :class:`ConfigError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot use {path}: {error.strerror or error}; a runtime directory must be writable,"
            " have space, and hold nothing else under this name: mend that, or choose another with"
            " --runtime-dir"
        ) from error


class Rank(IntEnum):
    """Lower ranks start first and stop last; all of one rank at once.

    Each is heard out by those below it: what an adapter says at its end reaches its relay.
    """

    RELAYS = 1
    VENUES = 2
    ADAPTERS = 3
    READERS = 4
    """Strategies, execution, console: they follow what the others say."""

    @property
    def group(self) -> str:
        """What supervisord calls it."""
        return self.name.lower()


class ServiceSpec(msgspec.Struct, frozen=True):
    """One supervised process."""

    name: str
    module: str
    rank: Rank


class Instance:
    """Paths and services of the instance in ``runtime_dir``."""

    def __init__(self, runtime_dir: Path) -> None:
        self.runtime_dir = runtime_dir
        self.config_path = runtime_dir / "instance.json"
        self.logs = runtime_dir / "logs"
        self.data = runtime_dir / "data"
        self.supervisor_config = runtime_dir / "supervisord.conf"
        self.supervisor_socket = runtime_dir / "supervisor.sock"
        self.supervisor_pid = runtime_dir / "supervisord.pid"

    def prepare(self, config: Config) -> None:
        """Create the folders and write the configuration that the services will read."""
        prepare(self.runtime_dir)
        for folder in (self.logs, self.data):
            with using(folder):
                folder.mkdir(mode=0o700, exist_ok=True)
        with using(self.config_path):
            self.config_path.write_bytes(msgspec.json.encode(config))
            self.config_path.chmod(0o600)

    def config(self) -> Config:
        """The configuration of the running instance. Raises :class:`ConfigError`."""
        try:
            return msgspec.json.decode(self.config_path.read_bytes(), type=Config)
        except FileNotFoundError:
            raise ConfigError(
                f"no Torq instance in {self.runtime_dir}; 'torq up' starts one"
            ) from None
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            raise ConfigError(f"{self.config_path} cannot be read: {error}") from error

    @staticmethod
    def services(config: Config) -> list[ServiceSpec]:
        """What runs under ``config``, in the order of starting."""
        module = "torq_services.processes"
        specs = [ServiceSpec(name, module, Rank.RELAYS) for name in RELAY_DOMAINS]
        if config.is_sample:
            specs.append(ServiceSpec("sample-venues", module, Rank.VENUES))
        specs += [ServiceSpec(f"adapter-{name}", module, Rank.ADAPTERS) for name in config.venues]
        specs += [ServiceSpec(f"chain-{name}", module, Rank.ADAPTERS) for name in config.chains]
        if config.venues:
            specs.append(ServiceSpec("strategy-cross-exchange", module, Rank.READERS))
        if config.chains:
            specs.append(ServiceSpec("strategy-flash-arbitrage", module, Rank.READERS))
        specs.append(ServiceSpec("execution-paper", module, Rank.READERS))
        specs.append(ServiceSpec("console", "torq_web", Rank.READERS))
        return specs
