"""Python's `websockets`. It compresses for those who offer it. Arguments: certificate and key, or none."""

import asyncio
import json
import ssl
import sys
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import websockets

PATHS = ("/echo", "/ping", "/close", "/told")
closings = {}


def closing(connection_id):
    return closings.setdefault(connection_id, asyncio.get_running_loop().create_future())


async def refuse(path, headers):
    name = urlsplit(path).path
    if name == "/secret":
        return HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": 'Basic realm="interop"'}, b"not for you"
    if name not in PATHS:
        return HTTPStatus.NOT_FOUND, {}, b"no such path"
    return None


def fragments(message):
    step = 10_000
    return [message[at : at + step] for at in range(0, len(message), step)]


async def serve(connection):
    url = urlsplit(connection.path)
    query = parse_qs(url.query, keep_blank_values=True)
    connection_id = query.get("id", [""])[0]
    try:
        if url.path == "/ping":
            payload = query["payload"][0]
            await (await connection.ping(payload))
            await connection.send("pong " + payload)
        elif url.path == "/close":
            await connection.close(int(query["code"][0]), query["reason"][0])
        elif url.path == "/told":
            await connection.send(await closing(connection_id))
        async for message in connection:
            if url.path == "/echo":
                await connection.send(fragments(message) if len(message) > 10_000 else message)
    except websockets.ConnectionClosedError:
        pass
    finally:
        await connection.wait_closed()
        if url.path != "/told" and not closing(connection_id).done():
            closing(connection_id).set_result(json.dumps([connection.close_code, connection.close_reason]))


async def main():
    context = None
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[1:3])
    server = await websockets.serve(
        serve,
        "127.0.0.1",
        0,
        ssl=context,
        process_request=refuse,
        subprotocols=["beta", "gamma"],
        max_size=None,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this has ended when standard input does.
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
