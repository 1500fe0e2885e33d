"""samemind: do your models think alike?"""

__version__ = "0.1.0"
