"""The cache that the web workers share: counts of tries and requests, nothing that would be missed.

It lies in the broker's Redis. While that does not answer, each process counts for itself: limits then hold per process, and nobody
is locked out or waits for a dead server. Values are JSON: whoever can write to the broker must not be able to run code here.
"""

import json
import logging
import time
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

REST_SECONDS = 5.0
"""How long a server that did not answer is left alone."""

_rests_until: dict[str, float] = {}


class JsonSerializer:
    def dumps(self, value: Any) -> str:
        return json.dumps(value)

    def loads(self, value: bytes) -> Any:
        return json.loads(value)


class SharedCache(RedisCache):
    """Redis while it answers, this process's own memory while it does not."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        options = {"serializer": JsonSerializer, "socket_connect_timeout": 0.3, "socket_timeout": 0.5}
        super().__init__(server, {**params, "OPTIONS": options})
        self._server = server
        self._own = LocMemCache(f"instead of {server}", {key: value for key, value in params.items() if key != "OPTIONS"})

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= _rests_until.get(self._server, 0):
            try:
                return getattr(super(), name)(*args, **kwargs)
            except (RedisError, OSError) as error:
                _rests_until[self._server] = time.monotonic() + REST_SECONDS
                # Without the address: it may hold a password.
                logger.warning("The shared cache does not answer (%s); this process counts for itself.", type(error).__name__)
        return getattr(self._own, name)(*args, **kwargs)

    def add(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("add", *args, **kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("get", *args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("set", *args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("touch", *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("delete", *args, **kwargs)

    def has_key(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("has_key", *args, **kwargs)

    def incr(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("incr", *args, **kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("get_many", *args, **kwargs)

    def set_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("set_many", *args, **kwargs)

    def delete_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("delete_many", *args, **kwargs)

    def clear(self) -> None:
        """Forgets what this process counted itself; the server is left alone, for the broker's queues lie there too."""
        self._own.clear()
