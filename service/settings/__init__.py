"""All settings of the service: `groups` has them by subject, `read` the whole and where the values come from."""

from service.settings.read import Settings, read_settings

__all__ = ["Settings", "read_settings"]
