"""The verifier."""

from dataclasses import replace

from dataspoke.knowledge.verifier.model import ContextVerdict, VerifyRequest
from dataspoke.resolvers.context import Context

_PLATFORM = "urn:li:dataPlatform:"


async def verify(context: Context, request: VerifyRequest) -> ContextVerdict:
    """Return the verdict on SQL, datasets or an output; the platform may be given by its name."""
    platform = request.platform
    if platform and not platform.startswith("urn:"):
        request = replace(request, platform=_PLATFORM + platform)
    return await context.services.verifier.verify(await context.actor(), request)
