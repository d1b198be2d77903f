"""The recorded results that pages of dashboard.py show: files of JSON that `fastfnn bench --json` has written."""

import json

from dashboard_page import DashboardError


def read_recordings(folder, command="fastfnn bench", keys=("machine", "versions", "settings", "cases")):
    """The results of a command in a folder, by file name. Each must have the keys."""
    recordings = {}
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text("utf-8"))
            missing = set(keys) - set(result)
        except (ValueError, TypeError) as error:
            raise DashboardError(f"{path} must be a result of {command} --json: {error}") from error
        if missing:
            raise DashboardError(f"{path} must be a result of {command} --json: it lacks {', '.join(sorted(missing))}")
        recordings[path.stem] = result
    return recordings
