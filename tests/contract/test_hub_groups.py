"""Which groups a caller is a member of, as DataHub says."""

from datahub.emitter.mcp import MetadataChangeProposalWrapper as Mcp
from datahub.metadata import schema_classes as models

from tests.support.hub_ports import EDITOR, DataHubUnderTest

SALES, CREW = "urn:li:corpGroup:sales", "urn:li:corpGroup:crew"


async def test_a_caller_has_the_groups_of_both_kinds() -> None:
    async with DataHubUnderTest.open() as opened:
        for group in (SALES, CREW):
            info = models.CorpGroupInfoClass(admins=[], members=[], groups=[], displayName=group)
            opened.emit(Mcp(entityUrn=group, aspect=info))
        opened.emit(
            Mcp(entityUrn=EDITOR, aspect=models.GroupMembershipClass(groups=[SALES])),
            Mcp(entityUrn=EDITOR, aspect=models.NativeGroupMembershipClass(nativeGroups=[CREW])),
        )
        actor = await opened.hub.actor("editor-token")
        assert set(actor.groups) == {SALES, CREW}
        assert (await opened.hub.actor("viewer-token")).groups == ()
