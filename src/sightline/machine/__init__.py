"""The machine: device, cores, the plan, being asked to stop."""

from typing import TYPE_CHECKING

from sightline.base import lazy_exports

if TYPE_CHECKING:
    from sightline.machine._device import choose_device as choose_device
    from sightline.machine._device import device_name as device_name
    from sightline.machine._memory import keep_freed_memory as keep_freed_memory
    from sightline.machine._plan import Plan as Plan
    from sightline.machine._plan import PlanChoice as PlanChoice
    from sightline.machine._plan import choose_plan as choose_plan
    from sightline.machine._ranks import ALONE as ALONE
    from sightline.machine._ranks import Ranks as Ranks
    from sightline.machine._ranks import group_name as group_name
    from sightline.machine._ranks import joined as joined
    from sightline.machine._ranks import ranks_here as ranks_here
    from sightline.machine._ranks import restarts as restarts
    from sightline.machine._stop import StopRequest as StopRequest
    from sightline.machine._threads import usable_cores as usable_cores
    from sightline.machine._workers import START_METHOD as START_METHOD
    from sightline.machine._workers import serve_parent as serve_parent
    from sightline.machine._workers import starting_workers as starting_workers
    from sightline.machine._workers import worker_pool as worker_pool

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "_device": ("choose_device", "device_name"),
        "_memory": ("keep_freed_memory",),
        "_plan": ("Plan", "PlanChoice", "choose_plan"),
        "_ranks": ("ALONE", "Ranks", "group_name", "joined", "ranks_here", "restarts"),
        "_stop": ("StopRequest",),
        "_threads": ("usable_cores",),
        "_workers": ("START_METHOD", "serve_parent", "starting_workers", "worker_pool"),
    },
)
