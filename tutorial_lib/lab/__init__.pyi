from tutorial_lib.lab.claims import (
    claim as claim,
)
from tutorial_lib.lab.claims import (
    paired as paired,
)
from tutorial_lib.lab.evidence import (
    load_evidence as load_evidence,
)
from tutorial_lib.lab.exercises import (
    check as check,
)
from tutorial_lib.lab.forest import (
    verdicts as verdicts,
)
from tutorial_lib.lab.plots import (
    set_style as set_style,
)
from tutorial_lib.lab.runtime import (
    describe_environment as describe_environment,
)
from tutorial_lib.lab.runtime import (
    pick_device as pick_device,
)
from tutorial_lib.lab.runtime import (
    seed_everything as seed_everything,
)
from tutorial_lib.lab.training import (
    History as History,
)
from tutorial_lib.lab.training import (
    batches as batches,
)
from tutorial_lib.lab.training import (
    compare as compare,
)
from tutorial_lib.lab.training import (
    fit as fit,
)
from tutorial_lib.lab.training import (
    predict as predict,
)
from tutorial_lib.lab.widgets import (
    explore as explore,
)
