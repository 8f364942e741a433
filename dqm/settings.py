"""Typed settings: from ``larboard.toml`` (here, or where LARBOARD_CONFIG points) and LARBOARD_* of the environment.

``[plots] paths = ["plugins"]`` in the file is ``LARBOARD_PLOTS__PATHS='["plugins"]'`` in the environment, which wins.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

FILE = "larboard.toml"
NOT_SETTINGS = {"LARBOARD_CONFIG", "LARBOARD_SAMPLES"}


class BadSettings(ValueError):
    """The settings cannot be used; the message names the key and what was expected."""


class PlotSettings(BaseModel):
    """Where plug-ins are."""

    model_config = ConfigDict(extra="forbid")

    paths: list[Path] = Field(default_factory=list, description="directories with plot files")


class DetectorSettings(BaseModel):
    """Which detector the data are of."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="auto", description="name of a geometry, or auto: matched by the ids in each file")
    directories: list[Path] = Field(default_factory=list, description="directories with geometry yaml files")
    modules: dict[int, Path] = Field(
        default_factory=dict, description="tile layout of each module, where the file names do not say it (_mod0_ is 1)"
    )


class Settings(BaseSettings):
    """All settings, each with a default that works."""

    model_config = SettingsConfigDict(env_prefix="LARBOARD_", env_nested_delimiter="__", extra="forbid")

    plots: PlotSettings = PlotSettings()
    detector: DetectorSettings = DetectorSettings()

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
        raise BadSettings(f"setting {key}: {first['msg']}, got {first['input']!r} (in {file} or LARBOARD_*)") from None
    except SettingsError as error:
        raise BadSettings(f"LARBOARD_* in the environment: {error}; lists are JSON, such as '[\"plugins\"]'") from None
    except (OSError, ValueError) as error:  # an unreadable file or broken TOML
        raise BadSettings(f"{file}: {error}") from None
    base = file.parent
    settings.plots.paths = [base / path for path in settings.plots.paths]
    settings.detector.directories = [base / path for path in settings.detector.directories]
    settings.detector.modules = {module: base / path for module, path in settings.detector.modules.items()}
    return settings
