"""A mail server that keeps nothing: it says on standard output what it got, a line of JSON each.

First {"port": …} once it listens, then each message, read as a mail program reads it. It ends with its standard input.
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


def say(**words):
    print(json.dumps(words), flush=True)


def lines(part):
    return part.get_content().replace("\r\n", "\n")


class Sink:
    def __init__(self, refused):
        self.refused = refused

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        raw = envelope.original_content
        message = email.message_from_bytes(raw, policy=email.policy.default)
        say(
            hello=session.host_name,
            tls=server.transport.get_extra_info("ssl_object") is not None,
            login=session.auth_data.login.decode() if session.auth_data else None,
            sender=envelope.mail_from,
            receivers=envelope.rcpt_tos,
            headers=[[name.lower(), str(value)] for name, value in message.items()],
            content_type=message.get_content_type(),
            text=lines(message.get_body(("plain",))),
            html=lines(message.get_body(("html",))),
            is_ascii=raw.isascii(),
        )
        return "250 OK"


async def main(arguments):
    context = None
    if arguments.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.certificate, arguments.key)

    def is_welcome(server, session, envelope, mechanism, data):
        given = LoginPassword(arguments.user.encode(), arguments.password.encode())
        return AuthResult(success=data == given, handled=False, auth_data=data)

    handler = Sink(dict(refusal.split("=", 1) for refusal in arguments.refuse))

    def session():
        return SMTP(
            handler,
            hostname="sink.test",
            authenticator=is_welcome if arguments.user else None,
            auth_exclude_mechanism=[] if arguments.user else ["PLAIN", "LOGIN"],
            auth_required=bool(arguments.user),
            auth_require_tls=False,
            tls_context=context if arguments.security == "starttls" else None,
            require_starttls=arguments.security == "starttls",
        )

    server = await asyncio.get_running_loop().create_server(
        session,
        host="127.0.0.1",
        port=arguments.port,
        ssl=context if arguments.security == "tls" else None,
    )
    say(port=server.sockets[0].getsockname()[1])
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--security", choices=["none", "starttls", "tls"], default="none")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--refuse", action="append", default=[], metavar="ADDRESS=ANSWER")
    asyncio.run(main(parser.parse_args()))
