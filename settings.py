"""Every setting, once: name, default, help. The command line, the README table and the checks read this list.

Each field is an environment variable with the prefix `INTERVAL_` (`INTERVAL_DATA_DIR=/data python app.py`).
Contradictions and unsafe values are refused at start with one sentence, never found out later.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
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
    engine: Literal["auto", "gguf", "torch", "remote"] = Field(
        "auto", description="What runs the model: auto takes the server if one is named, CUDA if it fits, else GGUF"
    )
    engine_url: str = Field("", description="Address of an OpenAI-compatible model server, `http://127.0.0.1:8000/v1`; empty: none")
    engine_hosts: str = Field("", description="Hosts besides loopback that images may be sent to, comma-separated")
    engine_model: str = Field("", description="Model to ask that server for; empty: the first it lists")
    engine_key: str = Field("", repr=False, description="Key that server asks for")
    engine_patience_s: float = Field(60.0, gt=0, le=3600, description="Seconds a model server may be silent")
    four_bit: bool = Field(False, description="Load transformers weights in 4 bits; needs CUDA and the package bitsandbytes")
    hub_url: str = Field("", description="Hub that `models add` downloads from; empty: the one the catalogue names")
    hub_token: str = Field("", repr=False, description="Token for models whose makers ask who accepted their terms")
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
    new_role: Literal["reader", "annotator", "adjudicator", "educator", "admin"] = Field(
        "reader", description="Role of a reader who opens the page for the first time; `users role` gives another"
    )
    feedback_a_day: int = Field(500, ge=1, description="Statements on answers, and reviews of others', one reader may make in 24 hours")
    review_readers: int = Field(1, ge=1, le=5, description="Reviewers who must agree with a reader before a correction may train")
    review_minutes: int = Field(15, ge=1, le=480, description="Minutes a reviewer holds a case; then others may take it")
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

    @model_validator(mode="after")
    def _allowed(self) -> Settings:
        """Images go to no host that was not named for it."""
        if not self.engine_url:
            return self
        try:
            parts = urlsplit(self.engine_url)
            whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            whole = False
        if not whole:
            raise ValueError(f"INTERVAL_ENGINE_URL: {self.engine_url} is no address; give one as http://127.0.0.1:8000/v1")
        if parts.hostname not in (*LOOPBACK, *(host.strip() for host in self.engine_hosts.split(","))):
            raise ValueError(
                f"INTERVAL_ENGINE_URL: images may not be sent to {parts.hostname}; add it to INTERVAL_ENGINE_HOSTS if it may see them"
            )
        return self

    @property
    def database(self) -> str:
        """SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.data_dir / 'interval.db'}"

    @property
    def models_dir(self) -> Path:
        """Folder of built and added models, one sub-folder each."""
        return self.data_dir / "models"

    @property
    def versions_dir(self) -> Path:
        """Folder of dataset versions, one sub-folder each."""
        return self.data_dir / "versions"

    @property
    def runs_dir(self) -> Path:
        """Folder of training runs, one sub-folder each."""
        return self.data_dir / "runs"

    @property
    def adapters_dir(self) -> Path:
        """Folder of promoted adapters and of the history that says which one is live."""
        return self.data_dir / "adapters"


def load(**overrides: object) -> Settings:
    """Read the environment; `overrides` win. Raises `SettingsError` with one sentence."""
    try:
        return Settings(**{k: v for k, v in overrides.items() if v is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        words = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"INTERVAL_{name.upper()}: {words}" if name else words) from error
