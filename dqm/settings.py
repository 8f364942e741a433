"""Typed settings: from ``larboard.toml`` (here, or where LARBOARD_CONFIG points) and LARBOARD_* of the environment.

``[plots] paths = ["plugins"]`` in the file is ``LARBOARD_PLOTS__PATHS='["plugins"]'`` in the environment, which wins.
"""

from __future__ import annotations

import difflib
import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

FILE = "larboard.toml"
ROLES = ("viewer", "shifter", "expert", "manager", "admin")
"""Each may do what those before it may."""
SUBSYSTEMS = ("charge", "light", "timing")
"""What an expert may be an expert of."""
NOT_SETTINGS = {"LARBOARD_CONFIG", "LARBOARD_SAMPLES"}


class BadSettings(ValueError):
    """The settings cannot be used; the message names the key and what was expected."""


class PlotSettings(BaseModel):
    """Where plug-ins are, and what each may use."""

    model_config = ConfigDict(extra="forbid")

    paths: list[Path] = Field(default_factory=list, description="directories with plot files")
    without: list[str] = Field(
        default_factory=list,
        description="built-in plots that are not run, such as TriggerCharge where there is no beam",
    )
    block_s: float = Field(
        default=10, ge=0.1, description="how long a plug-in may take for a block of packets or for a drawing [s]"
    )
    start_s: float = Field(default=20, ge=0.1, description="how long the import of a plug-in may take [s]")
    memory_mb: int = Field(
        default=1024, ge=16, description="memory of a plug-in above that of Python and its libraries [MB]"
    )
    output_mb: int = Field(
        default=32, ge=1, description="size of a state or figure of a plug-in, of what a call prints, of a file [MB]"
    )
    trigger_io_group: int = Field(
        default=0, ge=0, le=255, description="io_group whose triggers count, such as that of the beam; 0: all io_groups"
    )
    trigger_bit: int = Field(
        default=1, ge=0, le=7, description="bit of a trigger word that marks an external trigger, counted from 0"
    )
    v_ref_mv: float = Field(default=1568.0, gt=0, le=5000, description="reference voltage of the ADC [mV]")
    v_cm_mv: float = Field(default=478.1, ge=0, le=5000, description="common-mode voltage of the ADC [mV]")
    gain_mv_per_ke: float = Field(default=4.522, gt=0, le=1000, description="gain of the front end [mV/ke-]")
    pedestal_mv: float = Field(
        default=580.0, ge=0, le=5000, description="pedestal of channels that the pedestal file does not have [mV]"
    )
    pedestal_file: Path | None = Field(
        default=None, description="JSON file with the pedestal of each channel; without one all have pedestal_mv"
    )
    pedestal_keys: Literal["tile", "io_channel", "flow", "flow_tile"] = Field(
        default="tile", description="how its keys are made of the ids of a channel; docs/plots.md has the formulas"
    )

    @model_validator(mode="after")
    def _adc_has_a_range(self) -> PlotSettings:
        if self.v_ref_mv <= self.v_cm_mv:
            raise ValueError(f"v_ref_mv is {self.v_ref_mv:g}, expected more than v_cm_mv, which is {self.v_cm_mv:g}")
        return self


class DetectorSettings(BaseModel):
    """Which detector the data are of."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="auto", description="name of a geometry, or auto: matched by the ids in each file")
    zone: str = Field(
        default="UTC", description="time zone of the detector, such as America/Chicago; pages show it or UTC"
    )
    directories: list[Path] = Field(default_factory=list, description="directories with geometry yaml files")
    modules: dict[int, Path] = Field(
        default_factory=dict, description="tile layout of each module, where the file names do not say it (_mod0_ is 1)"
    )

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("is no time zone, expected a name such as America/Chicago or UTC") from None
        return value


class DataSettings(BaseModel):
    """What Larboard keeps for itself."""

    model_config = ConfigDict(extra="forbid")

    directory: Path = Field(default=Path("larboard-data"), description="states, cache and (by default) the database")


class StoreSettings(BaseModel):
    """The database."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(default="", description="any SQLAlchemy URL; empty: SQLite in the data directory, on a local disk")


class IngestSettings(BaseModel):
    """Which files are read, and when."""

    model_config = ConfigDict(extra="forbid")

    roots: list[Path] = Field(
        default_factory=list, description="directories with data files, searched all the way down but for hidden ones"
    )
    patterns: list[str] = Field(
        default_factory=lambda: ["*.h5", "*.hdf5"],
        description="names that are looked at; other files are no business of ours",
    )
    watch: Literal["auto", "inotify", "poll"] = Field(
        default="auto", description="inotify sees local changes only: auto polls on network mounts"
    )
    poll_s: float = Field(default=10, ge=0.2, description="how often network mounts are searched [s]")
    reconcile_s: float = Field(default=60, ge=1, description="how often everything is searched, whatever was told [s]")
    settle_s: float = Field(default=1, ge=0, description="a file that nobody closed counts as stable after so long [s]")
    patience_s: float = Field(
        default=600, ge=1, description="a file that stays unreadable so long without a change is put in quarantine [s]"
    )
    commit_s: float = Field(
        default=2, ge=0.2, description="how often what was counted of a long file is saved and shown [s]"
    )
    window_s: float = Field(
        default=600,
        ge=0,
        le=86400,
        description="every plot is also kept for the last so many seconds of a run, which its page can show; 0: not [s]",
    )
    lease_s: float = Field(
        default=15, ge=2, description="another ingest takes over from one that gave no sign of life for so long [s]"
    )
    close_run_s: float = Field(
        default=3600, ge=1, description="a run without a new file for so long is closed when a later run has begun [s]"
    )
    executor: Literal["inline", "processes", "dask"] = Field(
        default="processes",
        description="who reads and counts: the ingest itself, processes of this host, or Dask workers",
    )
    workers: int = Field(
        default=0, ge=0, le=256, description="processes that read and count; 0: one for each core, up to 4"
    )
    scheduler: str = Field(default="", description="address of the Dask scheduler, for executor dask")
    hang_s: float = Field(default=60, ge=1, description="a worker that gives no answer for so long is ended [s]")
    memory_mb: int = Field(default=2048, ge=64, description="memory that a worker may use beyond its own [MB]")

    @model_validator(mode="after")
    def _dask_has_an_address(self) -> IngestSettings:
        if self.executor == "dask" and not self.scheduler:
            raise ValueError('executor "dask" needs the address of its scheduler: scheduler = "tcp://host:8786"')
        return self


class RunRule(BaseModel):
    """Files whose path below the root fits `match` belong to runs of this category, with these tags."""

    model_config = ConfigDict(extra="forbid")

    match: str = Field(description="regular expression")
    category: str = Field(default="", description="category of the run; the first rule that fits and has one decides")
    tags: list[str] = Field(default_factory=list, description="tags of the run; of all rules that fit")

    @field_validator("match")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return value


class RunSettings(BaseModel):
    """What kind of run a file belongs to."""

    model_config = ConfigDict(extra="forbid")

    category: str = Field(default="physics", description="category of runs that no rule gives one")
    rules: list[RunRule] = Field(default_factory=list, description="the first rule with a category decides")


class RetentionRuleSettings(BaseModel):
    """Of each thing the first rule decides that fits the run and says how long it is kept; 0 days: for ever."""

    model_config = ConfigDict(extra="forbid")

    category: str = Field(default="", description="category of the run; empty: any")
    certification: str = Field(default="", description="certification of the run, such as open or good; empty: any")
    points_days: int | None = Field(
        default=None, ge=0, description="numbers of single files; then hours and days stand for them"
    )
    states_days: int | None = Field(default=None, ge=0, description="what figures are drawn from; numbers stay")
    figures_days: int | None = Field(
        default=None, ge=0, description="runs older than this are drawn anew at each visit"
    )


class RetentionSettings(BaseModel):
    """What is dropped, and when; of closed runs, never of the newest. The audit trail is kept for ever."""

    model_config = ConfigDict(extra="forbid")

    rules: list[RetentionRuleSettings] = Field(
        default_factory=list,
        description="how many days points, states and figures of runs are kept; without a rule for ever",
    )
    hours_days: int = Field(
        default=0, ge=0, description="hours of dropped points are kept so many days, then days; 0: for ever"
    )
    masks_days: int = Field(
        default=365, ge=0, description="a mask that nobody looked at for so many days is dropped; 0: never"
    )
    notices: int = Field(default=100_000, ge=1000, description="so many of the newest notices are kept")
    figures_mb: int = Field(default=512, ge=16, description="largest size of the cache of drawn figures [MB]")


class WebSettings(BaseModel):
    """The site."""

    model_config = ConfigDict(extra="forbid")

    host: str = Field(
        default="127.0.0.1",
        description="address to listen on; 0.0.0.0 is all: make an account first (larboard user add)",
    )
    port: int = Field(default=8050, ge=0, le=65535, description="port to listen on")
    workers: int = Field(default=2, ge=1, le=64, description="processes that answer")
    threads: int = Field(default=96, ge=8, le=1024, description="threads of each; every open browser holds one")
    prefix: str = Field(
        default="", description="path of the site on its host, when a proxy has others beside it, such as /larboard"
    )
    hosts: list[str] = Field(
        default_factory=list,
        description="names of the site in addresses, * as in *.example.org; its host and addresses are known",
    )
    body_kb: int = Field(default=1024, ge=64, le=1_000_000, description="a request that brings more is refused [kB]")
    recount_s: float = Field(
        default=600,
        ge=0,
        description="how long files may be counted anew without the channels of a mask; 0: they are not [s]",
    )
    stale_s: float = Field(default=120, ge=1, description="without new data for so long a verdict is grey [s]")
    contact: str = Field(default="", description="whom the shift calls; stands on the board")
    title: str = Field(default="Larboard", description="name of the site, such as that of the detector")
    proxies: list[str] = Field(
        default_factory=list,
        description="addresses or networks of reverse proxies; X-Forwarded-* and the like of anybody else is not believed",
    )

    @field_validator("proxies")
    @classmethod
    def _are_addresses(cls, values: list[str]) -> list[str]:
        for value in values:
            try:
                ip_network(value, strict=False)
            except ValueError:
                raise ValueError(
                    f"{value!r} is no address or network, expected such as 127.0.0.1 or 10.1.0.0/16"
                ) from None
        return values

    @field_validator("prefix")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        path = "".join(f"/{part}" for part in value.split("/") if part)
        if path and not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", path):
            raise ValueError("is no path of letters, digits and - . _ ~, expected one such as /larboard")
        return path


class AuthSettings(BaseModel):
    """People: how they sign in, and what everybody may do."""

    model_config = ConfigDict(extra="forbid")

    anonymous: bool = Field(default=True, description="whether everybody may read; writing always needs an account")
    open_metrics: bool = Field(
        default=False, description="whether /metrics may be read without a token although anonymous is false"
    )
    idle_h: float = Field(default=12, gt=0, description="a browser that is not used for so long is signed out [h]")
    absolute_h: float = Field(default=168, gt=0, description="after so long everybody signs in again [h]")
    token_days: float = Field(default=365, gt=0, description="longest life of a token of a program [days]")
    default_role: Literal["", "viewer", "shifter", "expert", "manager", "admin"] = Field(
        default="viewer", description="of who comes by OpenID or a proxy without a group in roles; empty: not let in"
    )
    roles: dict[str, str] = Field(
        default_factory=dict, description="role of a group that OpenID or a proxy names; asked at every sign-in"
    )
    header: str = Field(
        default="", description="header in which a proxy of web.proxies names who asks, such as X-Remote-User"
    )
    groups_header: str = Field(default="", description="header in which it lists their groups, separated by commas")
    oidc_issuer: str = Field(default="", description="address of the OpenID provider, as it calls itself")
    oidc_client: str = Field(default="", description="name of this site there (client_id)")
    oidc_secret_file: Path | None = Field(
        default=None, description="file with the client secret, readable by Larboard alone; none for a public client"
    )
    oidc_scopes: list[str] = Field(
        default_factory=lambda: ["openid", "profile", "email"], description="what the provider is asked for"
    )
    oidc_name: str = Field(default="preferred_username", description="claim with the name that pages show")
    oidc_groups: str = Field(default="groups", description="claim with the groups; a dot leads into it")
    oidc_title: str = Field(default="OpenID", description="name of the provider on the button of the sign-in page")

    @field_validator("roles")
    @classmethod
    def _are_roles(cls, values: dict[str, str]) -> dict[str, str]:
        for group, text in values.items():
            role, colon, of = text.partition(":")
            if role not in ROLES or (colon and (role != "expert" or not {*of.split(",")} <= {*SUBSYSTEMS})):
                known = f"{', '.join(ROLES)} or such as expert:{SUBSYSTEMS[0]},{SUBSYSTEMS[1]}"
                raise ValueError(f"{group} has {text!r}, which is no role, expected {known}")
        return values

    @field_validator("oidc_issuer")
    @classmethod
    def _is_safe(cls, value: str) -> str:
        here = re.match(r"http://(127\.0\.0\.1|localhost|\[::1\])[:/]", value + "/")
        if value and not value.startswith("https://") and not here:
            raise ValueError("is no address that begins with https://")
        return value


class HealthSettings(BaseModel):
    """When the monitor itself raises an alarm; 0 switches a rule off."""

    model_config = ConfigDict(extra="forbid")

    pulse_s: float = Field(default=10, ge=1, description="how often the ingest measures itself [s]")
    leader_s: float = Field(default=30, ge=0, description="no sign of life of any ingest for so long is an alarm [s]")
    scan_late_s: float = Field(default=120, ge=0, description="a search of the data roots may be late by so much [s]")
    lag_s: float = Field(default=60, ge=0, description="the newest file of a root may wait so long to be counted [s]")
    free_mb: float = Field(default=1000, ge=0, description="a disk with less space than this is an alarm [MB]")
    free_percent: float = Field(default=2, ge=0, le=100, description="so is one with less than this part free [%]")
    days_left: float = Field(default=3, ge=0, description="a disk that will be full before this is an alarm [days]")
    clock_s: float = Field(default=5, ge=0, description="clocks of hosts, files and database may differ by so much [s]")
    data_time_s: float = Field(
        default=86400, ge=0, description="times in new data may be off the times of their files by so much [s]"
    )
    write_s: float = Field(default=2, ge=0, description="a small write of the database may take so long [s]")
    raise_s: float = Field(default=10, ge=0, description="an alarm is raised for what lasts so long [s]")
    clear_s: float = Field(default=60, ge=0, description="an alarm ends when nothing was wrong for so long [s]")


class LogSettings(BaseModel):
    """What the processes write to stderr."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["text", "json"] = Field(
        default="text", description="text for people, or json: one object a line, for programs"
    )
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="what is written at least")


class Settings(BaseSettings):
    """All settings, each with a default that works."""

    model_config = SettingsConfigDict(env_prefix="LARBOARD_", env_nested_delimiter="__", extra="forbid")

    plots: PlotSettings = PlotSettings()
    detector: DetectorSettings = DetectorSettings()
    data: DataSettings = DataSettings()
    store: StoreSettings = StoreSettings()
    ingest: IngestSettings = IngestSettings()
    runs: RunSettings = RunSettings()
    retention: RetentionSettings = RetentionSettings()
    web: WebSettings = WebSettings()
    auth: AuthSettings = AuthSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _file())


def _file() -> Path:
    return Path(os.environ.get("LARBOARD_CONFIG", FILE))


def load_settings(**overrides: Any) -> Settings:
    """The settings in force; raises BadSettings that names the first wrong key. Relative paths are of the file's folder."""
    file = _file()
    for name in os.environ:
        section = name.removeprefix("LARBOARD_").split("__")[0].lower()
        if name.startswith("LARBOARD_") and name not in NOT_SETTINGS and section not in Settings.model_fields:
            raise BadSettings(
                f"{name} in the environment is not a setting; sections are {', '.join(Settings.model_fields)}"
            )
    if "LARBOARD_CONFIG" in os.environ and not file.is_file():
        raise BadSettings(f"LARBOARD_CONFIG points to {file}, which is not a file")
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise BadSettings(f"{key} is not a setting (in {file} or LARBOARD_*){_meant(first['loc'])}") from None
        raise BadSettings(f"setting {key}: {first['msg']}, got {first['input']!r} (in {file} or LARBOARD_*)") from None
    except SettingsError as error:
        raise BadSettings(f"LARBOARD_* in the environment: {error}; lists are JSON, such as '[\"plugins\"]'") from None
    except (OSError, ValueError) as error:  # an unreadable file or broken TOML
        raise BadSettings(f"{file}: {error}") from None
    base = file.parent
    settings.plots.paths = [base / path for path in settings.plots.paths]
    if settings.plots.pedestal_file is not None:
        settings.plots.pedestal_file = base / settings.plots.pedestal_file
    settings.detector.directories = [base / path for path in settings.detector.directories]
    settings.data.directory = base / settings.data.directory
    if settings.auth.oidc_secret_file:
        settings.auth.oidc_secret_file = base / settings.auth.oidc_secret_file
    settings.ingest.roots = [base / root for root in settings.ingest.roots]
    settings.detector.modules = {module: base / path for module, path in settings.detector.modules.items()}
    return settings


def _meant(where: tuple[int | str, ...]) -> str:
    """What a misspelt key was meant to be, or what there is."""
    known: dict[str, Any] = dict(Settings.model_fields)
    for part in where[:-1]:
        inner = known[part].annotation if part in known else None
        known = dict(getattr(inner, "model_fields", {}))
    near = difflib.get_close_matches(str(where[-1]), known, 1)
    above = ".".join(map(str, where[:-1]))
    if near:
        return f"; is {above}{'.' if above else ''}{near[0]} meant?"
    return f"; there are {', '.join(known)}" if known else ""


def store_url(settings: Settings) -> str:
    """The URL of the database: the configured one, or SQLite in the data directory."""
    return settings.store.url or f"sqlite:///{settings.data.directory.resolve() / 'larboard.sqlite'}"


EXAMPLES: dict[str, str] = {
    "plots.paths": '["plugins"]',
    "plots.pedestal_file": '"pedestals.json"',
    "detector.directories": '["geometry"]',
    "detector.modules": '{ 1 = "geometry/first.yaml", 2 = "geometry/second.yaml" }',
    "ingest.roots": '["data"]',
    "ingest.scheduler": '"tcp://dask.example.org:8786"',
    "runs.rules": '[{ match = "pedestal|pulser", category = "calibration", tags = ["pedestal"] }]',
    "web.prefix": '"/larboard"',
    "web.hosts": '["larboard.example.org"]',
    "retention.rules": '[{ certification = "good", points_days = 0 }, { points_days = 400, states_days = 3650 }]',
    "web.contact": '"charge expert: 555-0123"',
    "web.proxies": '["127.0.0.1", "10.1.0.0/16"]',
    "auth.roles": '{ "dune-nd-shift" = "shifter", "dune-nd-charge" = "expert:charge", "dune-nd-admin" = "admin" }',
    "auth.header": '"X-Remote-User"',
    "auth.groups_header": '"X-Remote-Groups"',
    "auth.oidc_issuer": '"https://login.example.org"',
    "auth.oidc_client": '"larboard"',
    "auth.oidc_secret_file": '"oidc-secret"',
    "store.url": '"postgresql+psycopg://larboard@db.example.org/larboard"',
}


def example(roots: str = '["data"]') -> str:
    """A larboard.toml with every setting: what it means, and its default in a comment; only the data roots are set."""
    lines = [
        "# Settings of Larboard. A line that begins with # is a comment; these show the defaults or an example.",
        "# LARBOARD_<SECTION>__<KEY> in the environment wins over this file. Relative paths are of this file's folder.",
    ]
    for section, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        lines += ["", f"[{section}]  # {(model.__doc__ or '').splitlines()[0]}"]
        for key, inner in model.model_fields.items():
            name = f"{section}.{key}"
            value = EXAMPLES.get(name) or _toml(inner.get_default(call_default_factory=True))
            lines.append(f"# {inner.description}")
            lines.append(f"{key} = {roots}" if name == "ingest.roots" else f"# {key} = {value}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A default as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, Path)):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)
