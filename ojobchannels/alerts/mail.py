"""Notices as mails, by smtplib."""

from __future__ import annotations

import logging
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate

from ojobchannels.alerts import secret_text
from ojobchannels.alerts.rules import PORTS, Mail, Notice
from ojobchannels.alerts.templates import rendered_text
from ojobchannels.errors import AlertNotSent
from ojobchannels.printable import printable

_log = logging.getLogger("ojobchannels.alerts")
_LONGEST_SUBJECT = 200


def send(mail: Mail, notice: Notice) -> None:
    """Send a notice by mail.

    Raises:
        AlertNotSent: The server did not accept it for any recipient.
    """
    port = mail.port or PORTS[mail.security]
    where = printable(f"smtp://{mail.host}:{port}")
    password = secret_text.resolved(mail.password or "")
    try:
        refused = _send(mail, port, password, message(mail, notice))
    except (smtplib.SMTPException, OSError, ValueError) as error:
        is_refused = isinstance(error, smtplib.SMTPDataError)
        reason = secret_text.described(error, [password])
        raise AlertNotSent(where, reason, is_refused=is_refused) from None
    if refused:
        names = printable(", ".join(sorted(refused)))
        _log.warning("%s does not accept the recipients %s; the others have the mail", where, names)


def message(mail: Mail, notice: Notice) -> EmailMessage:
    """Return the mail of a notice."""
    made = EmailMessage()
    made["From"] = mail.sender
    made["To"] = ", ".join(mail.to)
    made["Subject"] = printable(rendered_text(mail.subject, notice))[:_LONGEST_SUBJECT]
    made["Date"] = formatdate(notice["time"] / 1000)
    made["Message-ID"] = f"<{notice['id']}@ojobchannels>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(_text(mail, notice))
    return made


def _text(mail: Mail, notice: Notice) -> str:
    if mail.text is not None:
        return printable(rendered_text(mail.text, notice), keep="\n\t")
    shown = (f"{name}: {printable(str(value))}" for name, value in notice.items())
    return "\n".join([printable(notice["message"]), "", *shown, ""])


def _send(mail: Mail, port: int, password: str, made: EmailMessage) -> dict[str, tuple[int, bytes]]:
    context = ssl.create_default_context() if mail.security != "none" else None
    if mail.security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            mail.host, port, timeout=mail.timeout, context=context
        )
    else:
        server = smtplib.SMTP(mail.host, port, timeout=mail.timeout)
    with server:
        if mail.security == "starttls":
            server.starttls(context=context)
        if mail.user is not None:
            server.login(secret_text.resolved(mail.user), password)
        return server.send_message(made)
