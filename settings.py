"""Every setting, once: name, default, help. The command line, the README table and the checks read this list.

Each field is an environment variable with the prefix `INTERVAL_` (`INTERVAL_DATA_DIR=/data python app.py`).
Contradictions and unsafe values are refused at start with one sentence, never found out later.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from errors import SettingsError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Settings(BaseSettings):
    """The settings of one process; frozen once read."""

    model_config = SettingsConfigDict(env_prefix="INTERVAL_", frozen=True, extra="ignore")

    data_dir: Path = Field(Path("~/.local/share/interval"), description="Where studies, sessions and models are kept")
    host: str = Field("127.0.0.1", description="Address to serve on; only loopback, there are no accounts yet")
    port: int = Field(7860, ge=1, le=65535, description="Port to serve on")
    public_hosts: str = Field("", description="Host names the page is served under besides loopback, comma-separated; for a proxy")
    database_url: str = Field("", description="SQLAlchemy URL of the database; empty: a SQLite file in the data directory")
    engine: Literal["auto", "gguf", "torch"] = Field("auto", description="What runs the model: auto takes CUDA if it fits, else GGUF")
    model: str = Field("bundled", description="Model that answers: a name from `models list`, or a folder or GGUF file")
    threads: int = Field(0, ge=0, le=256, description="Threads of the engine; 0: one per physical core")
    context_tokens: int = Field(4096, ge=512, le=131072, description="Context of the model in tokens, images included")
    max_images: int = Field(8, ge=1, le=8, description="Images one question may carry")
    max_answer_tokens: int = Field(160, ge=1, le=4096, description="Longest answer in tokens")
    keep_identity: bool = Field(False, description="Keep patient identity on import; by default studies are de-identified")
    max_upload_mb: int = Field(2048, ge=1, description="Largest upload or archive in MB, after inflation too")
    max_file_mb: int = Field(1024, ge=1, description="Largest single file in MB")
    max_megapixels: int = Field(1024, ge=1, description="Most pixels one file may claim, all frames together, in millions")
    max_archive_entries: int = Field(20000, ge=1, description="Most files one archive or folder may hold")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe message that is logged")

    @field_validator("data_dir")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("host")
    @classmethod
    def _loopback(cls, value: str) -> str:
        if value not in LOOPBACK:
            raise ValueError(
                f"{value} is not loopback and there are no accounts yet; serve on 127.0.0.1 behind a proxy that signs users in"
            )
        return value

    @property
    def database(self) -> str:
        """SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.data_dir / 'interval.db'}"

    @property
    def models_dir(self) -> Path:
        """Folder of built and added models, one sub-folder each."""
        return self.data_dir / "models"


def load(**overrides: object) -> Settings:
    """Read the environment; `overrides` win. Raises `SettingsError` with one sentence."""
    try:
        return Settings(**{k: v for k, v in overrides.items() if v is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        raise SettingsError(f"INTERVAL_{name.upper()}: {first['msg'].removeprefix('Value error, ')}") from error
