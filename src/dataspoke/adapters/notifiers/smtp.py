"""Mail, by SMTP."""

import ssl
from datetime import timedelta
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import aiosmtplib

from dataspoke.adapters.notifiers.outgoing import PORT
from dataspoke.errors import DependencyRejected, DependencyTimeout, DependencyUnavailable
from dataspoke.quality.notifications import rendering
from dataspoke.quality.notifications.model import Notification, Target
from dataspoke.settings import SmtpSettings

_LONGEST_SUBJECT = 200


class SmtpNotifier:
    """A mail server. The Message-ID is the same for the same notification."""

    def __init__(
        self, settings: SmtpSettings, timeout: timedelta, tls: ssl.SSLContext | None = None
    ) -> None:
        self._settings = settings
        self._timeout_s = timeout.total_seconds()
        self._tls = tls or ssl.create_default_context()

    async def send(self, notification: Notification, target: Target) -> None:
        settings = self._settings
        server = f"The mail server {settings.host}"
        try:
            await aiosmtplib.send(
                _mail(notification, settings.sender, target.address),
                hostname=settings.host,
                port=settings.port,
                username=settings.username or None,
                password=settings.password.get_secret_value() if settings.username else None,
                use_tls=settings.security == "tls",
                # Never None: the library would go on in plain text where the server offers no TLS.
                start_tls=settings.security == "starttls",
                tls_context=None if settings.security == "none" else self._tls,
                timeout=self._timeout_s,
            )
        except (aiosmtplib.SMTPTimeoutError, TimeoutError) as error:
            raise DependencyTimeout(
                PORT, f"{server} did not answer in {self._timeout_s:g} s."
            ) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _answered(server, error.code, error.message) from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = error.recipients[0]
            raise _answered(server, refused.code, refused.message) from error
        except ssl.SSLError as error:
            raise DependencyRejected(PORT, f"{server} has no good certificate: {error}") from error
        except OSError as error:
            raise DependencyUnavailable(PORT, f"{server} cannot be reached: {error}") from error
        except aiosmtplib.SMTPException as error:
            # It lacks what the settings ask for: STARTTLS, or a way to log in.
            raise DependencyRejected(PORT, f"{server}: {error}") from error


def _mail(notification: Notification, sender: str, recipient: str) -> EmailMessage:
    message = notification.message
    domain = sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    # Names of datasets are other people's texts: a line break would begin a header of its own.
    mail["Subject"] = " ".join(rendering.title(message).split())[:_LONGEST_SUBJECT]
    mail["From"] = Address("DataSpoke", addr_spec=sender)
    mail["To"] = _address(recipient)
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{notification.id}@{domain}>"
    # Mail clients show what is said about one alert as one conversation.
    mail["References"] = f"<alert.{message.alert_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(rendering.plain(message))
    mail.add_alternative(rendering.as_html(message), subtype="html")
    return mail


def _address(recipient: str) -> Address:
    try:
        address = Address(addr_spec=recipient)
    except (ValueError, HeaderParseError, IndexError):  # the last for an empty text
        address = Address()
    if not address.username or not address.domain or not recipient.isascii():
        raise DependencyRejected(PORT, f"{recipient!r} is no mail address.")
    return address


def _answered(server: str, code: int, said: str) -> DependencyUnavailable | DependencyRejected:
    told = f"{server} answered {code} {' '.join(said.split())[:200]}"
    if 400 <= code < 500:
        return DependencyUnavailable(PORT, told)
    return DependencyRejected(PORT, told)
