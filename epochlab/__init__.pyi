from .data import Data as Data
from .data import load_data as load_data
from .evidence import Check as Check
from .evidence import Interval as Interval
from .evidence import claim as claim
from .evidence import interval as interval
from .evidence import paired_difference as paired_difference
from .evidence import seeds as seeds
from .evidence import verdict as verdict
from .plots import describe as describe
from .plots import draw_plan as draw_plan
from .plots import plot_sweep as plot_sweep
from .plots import seed_band as seed_band
from .plots import seed_dots as seed_dots
from .plots import set_style as set_style
from .plots import three_clocks as three_clocks
from .steps import TrainingPlan as TrainingPlan
from .steps import num_batches as num_batches
from .steps import simulate_epochs as simulate_epochs
from .steps import split_sizes as split_sizes
from .steps import steps_per_epoch as steps_per_epoch
from .stopping import StopReason as StopReason
from .stopping import StopReport as StopReport
from .sweeps import sweep as sweep
from .training import Run as Run
from .training import train as train

__version__: str
