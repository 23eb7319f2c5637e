"""Hand-written checks of one service, which Gatepass is measured against.

They are written for speed: prepared statements, a large pool, one indexed look-up, no logging, no
unneeded columns. They check less than Gatepass does: that the key is known and active, and has one
scope. Run as ``python -m benchmarks.by_hand_apps NAME PORT``.
"""

import hashlib
import importlib.util
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
import jwt
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from sqlalchemy import ARRAY, DateTime, LargeBinary, String, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: Connections to the database; more were no faster.
POOL = 20
SCOPE = "charges:get"
SCOPES = [
    "charges:create",
    "charges:get",
    "charges:refund",
    "customers:get",
    "payouts:get",
    "refunds:get",
]
JWT_KEY = "a key for measuring, as long as RFC 7518 wants one for HS256"
DATABASE_URL = "BY_HAND_DATABASE_URL"


class Base(DeclarativeBase):
    """The declarative base."""


class ApiKey(Base):
    """One key: found by the SHA-256 of its text."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked: Mapped[bool]


def with_sqlalchemy() -> FastAPI:
    """A session per request, a model instance per key."""
    engine = create_async_engine(
        os.environ[DATABASE_URL].replace("postgresql://", "postgresql+asyncpg://"),
        pool_size=POOL,
        max_overflow=0,
    )
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    statement = select(ApiKey)
    app = FastAPI()

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    async def key_of(request: Request, opened: Annotated[AsyncSession, Depends(session)]) -> ApiKey:
        digest = hashlib.sha256(_text(request).encode()).digest()
        key = await opened.scalar(statement.where(ApiKey.key_hash == digest))
        if key is None or key.revoked or (key.expires_at and key.expires_at <= datetime.now(UTC)):
            raise HTTPException(401)
        return key

    @app.get("/authz/nginx")
    async def authorize(key: Annotated[ApiKey, Depends(key_of)]) -> Response:
        if SCOPE not in key.scopes:
            raise HTTPException(403)
        return Response(status_code=204)

    return app


def with_asyncpg() -> FastAPI:
    """A prepared statement on a pooled connection."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(
            os.environ[DATABASE_URL], min_size=POOL, max_size=POOL
        ) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    async def key_of(request: Request) -> Any:
        digest = hashlib.sha256(_text(request).encode()).digest()
        key = await app.state.pool.fetchrow(
            "SELECT id, scopes, expires_at, revoked FROM api_keys WHERE key_hash = $1", digest
        )
        if key is None or key["revoked"]:
            raise HTTPException(401)
        if key["expires_at"] and key["expires_at"] <= datetime.now(UTC):
            raise HTTPException(401)
        return key

    @app.get("/authz/nginx")
    async def authorize(key: Annotated[Any, Depends(key_of)]) -> Response:
        if SCOPE not in key["scopes"]:
            raise HTTPException(403)
        return Response(status_code=204)

    return app


def with_pyjwt() -> FastAPI:
    """A signed token: no look-up, and no revocation."""
    app = FastAPI()

    async def claims_of(request: Request) -> dict[str, Any]:
        try:
            return jwt.decode(_text(request), JWT_KEY, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            raise HTTPException(401) from None

    @app.get("/authz/nginx")
    async def authorize(claims: Annotated[dict[str, Any], Depends(claims_of)]) -> Response:
        if SCOPE not in claims["scope"].split():
            raise HTTPException(403)
        return Response(status_code=204)

    return app


APPS: dict[str, Callable[[], FastAPI]] = {
    "sqlalchemy": with_sqlalchemy,
    "asyncpg": with_asyncpg,
    "pyjwt": with_pyjwt,
}


def signed(subject: str) -> str:
    """Create a token that ``with_pyjwt`` accepts."""
    now = int(time.time())
    claims = {"sub": subject, "iat": now, "exp": now + 86_400, "scope": " ".join(SCOPES)}
    return jwt.encode(claims, JWT_KEY, "HS256")


def parser_name() -> str:
    """uvicorn's HTTP parser: the faster one if it is installed."""
    return "httptools" if importlib.util.find_spec("httptools") else "h11"


def _text(request: Request) -> str:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401)
    return text


if __name__ == "__main__":
    uvicorn.run(
        APPS[sys.argv[1]](),
        port=int(sys.argv[2]),
        loop="uvloop",
        http=parser_name(),
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
    )
