"""A load process: slow connections, and many sign-ins at once.

``python -m faults.load_process`` reads JSON from standard input: ``{"slow": {PORT: COUNT, …},
"sign_ins": COUNT, "port": PORT, "email": …, "password": …}``. It opens the slow connections and
prints "open". After another line of input it sends the sign-ins and prints their statuses as JSON.
It exits when its input ends.
"""

import asyncio
import json
import resource
import sys
from collections import Counter
from typing import Any

#: Seconds between two bytes of a request.
_TRICKLE_SECONDS = 2.0
_REQUEST = b"POST /v1/verify HTTP/1.1\r\nHost: slow.example.com\r\nX-Slow: " + b"a" * 10_000


async def _slow(port: int, opened: "asyncio.Semaphore", broken: Counter[str]) -> None:
    try:
        async with opened:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in _REQUEST:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(_TRICKLE_SECONDS)
    except OSError as error:
        broken[type(error).__name__] += 1


async def _sign_in(port: int, email: str, password: str) -> int:
    body = json.dumps({"email": email, "password": password}).encode()
    head = (
        "POST /v1/authentications HTTP/1.1\r\nHost: people.example.com\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body)
        line = await reader.readline()
        await reader.read()
        writer.close()
        return int(line.split()[1]) if line else 0
    except OSError:
        return 0


async def _crowd(what: dict[str, Any]) -> None:
    opened = asyncio.Semaphore(200)
    broken: Counter[str] = Counter()
    slow = [
        asyncio.create_task(_slow(int(port), opened, broken))
        for port, count in what["slow"].items()
        for _ in range(count)
    ]
    while len([task for task in slow if not task.done()]) + broken.total() < len(slow):
        await asyncio.sleep(0.05)
    await asyncio.sleep(2.0)
    print("open", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    statuses = await asyncio.gather(
        *(_sign_in(what["port"], what["email"], what["password"]) for _ in range(what["sign_ins"]))
    )
    print(json.dumps(Counter(statuses)), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in slow:
        task.cancel()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_crowd(json.loads(sys.stdin.readline())))
