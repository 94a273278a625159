"""Under a torch that cannot shard without sending nothing here runs: its FSDP2 lies elsewhere."""

from tests.live.ranks import CAN_SHARD

collect_ignore_glob = [] if CAN_SHARD else ["test_*.py"]
