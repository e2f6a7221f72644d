"""The parts of the assault, in the order in which they run."""

from tests.assault import disk, inputs, kills, leaks, network, page
from tests.assault.trials import Part

PARTS = (
    Part(name="kills", checked=kills.CHECKED, plan=kills.plan),
    Part(name="disk", checked=disk.CHECKED, plan=disk.plan),
    Part(name="inputs", checked=inputs.CHECKED, plan=inputs.plan),
    Part(name="page", checked=page.CHECKED, plan=page.plan),
    Part(name="network", checked=network.CHECKED, plan=network.plan),
    Part(name="leaks", checked=leaks.CHECKED, plan=leaks.plan),
)
