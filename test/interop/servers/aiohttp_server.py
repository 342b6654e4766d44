"""Python's `aiohttp`. It compresses for those who offer it. Arguments: certificate and key, or none."""

import asyncio
import json
import ssl
import sys

from aiohttp import WSMsgType, web

closings = {}


def closing(connection_id):
    return closings.setdefault(connection_id, asyncio.get_running_loop().create_future())


async def accept(request):
    connection = web.WebSocketResponse(protocols=("beta", "gamma"), max_msg_size=0, autoping=False)
    await connection.prepare(request)
    return connection


async def echo(request):
    connection = await accept(request)
    while True:
        message = await connection.receive()
        if message.type == WSMsgType.TEXT:
            await connection.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await connection.send_bytes(message.data)
        elif message.type == WSMsgType.PING:
            await connection.pong(message.data)
        else:
            break
    if message.type == WSMsgType.CLOSE:
        told = closing(request.query.get("id", ""))
        if not told.done():
            told.set_result(json.dumps([message.data, message.extra]))
    return connection


async def ping(request):
    connection = await accept(request)
    await connection.ping(request.query["payload"].encode())
    message = await connection.receive()
    assert message.type == WSMsgType.PONG
    await connection.send_str("pong " + bytes(message.data).decode())
    await connection.receive()
    return connection


async def close(request):
    connection = await accept(request)
    await connection.close(code=int(request.query["code"]), message=request.query["reason"].encode())
    return connection


async def told(request):
    connection = await accept(request)
    await connection.send_str(await closing(request.query["id"]))
    await connection.receive()
    return connection


async def secret(request):
    return web.Response(
        status=401, text="not for you", headers={"WWW-Authenticate": 'Basic realm="interop"'}
    )


async def nowhere(request):
    return web.Response(status=404, text="no such path")


async def main():
    context = None
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[1:3])
    application = web.Application()
    for path, handler in (
        ("/echo", echo),
        ("/ping", ping),
        ("/close", close),
        ("/told", told),
        ("/secret", secret),
        ("/{rest:.*}", nowhere),
    ):
        application.router.add_get(path, handler)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    # Whoever started this has ended when standard input does.
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
