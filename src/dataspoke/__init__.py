"""DataSpoke: the sidecar that judges what a DataHub stores."""

from importlib.metadata import version

__version__ = version("dataspoke")
