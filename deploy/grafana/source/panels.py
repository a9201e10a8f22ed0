"""Words that the dashboards are written in: panels of four kinds, laid out in lines.

    Dashboard(uid="trainyard-overview", title="Overview", ...).rows([
        row("What runs"),
        line(4, stat("Running jobs", "Jobs on a device now.", "short", [Query("sum(x)")], width=24)),
    ])

A line's widths must add up to 24, Grafana's columns. Everything is plain data: each
function returns the JSON that Grafana loads, without the position and the id, which
`lay_out` adds.
"""

from dataclasses import dataclass

COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE, GREY = (
    "green", "yellow", "orange", "red", "blue", "purple", "text")


@dataclass
class Query:
    """One PromQL expression. now: asks for the newest value only, not for a curve."""
    expr: str
    legend: str = ""
    now: bool = False

    def target(self, number, table):
        now = self.now or table
        return {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": self.expr,
            "legendFormat": self.legend or "__auto",
            "instant": now,
            "range": not now,
            "format": "table" if table else "time_series",
        }


@dataclass
class Column:
    """A column of a table: a query's value, or (without one) a label."""
    title: str
    query: str = ""
    label: str = ""
    unit: str = ""
    width: int = 0
    decimals: int = -1
    gauge: bool = False
    colored: bool = False
    steps: tuple = ()
    texts: tuple = ()
    link: tuple = ()
    maximum: float = 0


def thresholds(steps):
    """(color, (value, color), ...): the color below the first value, then from each value on."""
    base, *rest = steps or (GREEN,)
    return {"mode": "absolute", "steps": [{"color": base, "value": None}] +
            [{"color": color, "value": value} for value, color in rest]}


def mapping(texts):
    """((value, text, color), ...): shows a text in a color in place of a value."""
    return [{"type": "value", "options": {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, text, color) in enumerate(texts)}}]


def _panel(kind, title, description, width, queries, defaults, options, overrides=(), **more):
    table = kind == "table"
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": width},
        "targets": [query.target(i, table) for i, query in enumerate(queries)],
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
        **more,
    }


def stat(title, description, unit, queries, *, width, steps=(BLUE,), texts=(), graph=True,
         decimals=None, none=None, link=None, show="value", reduce="lastNotNull", named=False):
    """A big number, with a small curve behind it. none: shown where there is no series."""
    defaults = {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": thresholds(steps)}
    if texts:
        defaults["mappings"] = mapping(texts)
    if decimals is not None:
        defaults["decimals"] = decimals
    if none is not None:
        defaults["noValue"] = none
    if link:
        defaults["links"] = [{"title": link[0], "url": link[1]}]
    options = {
        "colorMode": "value", "graphMode": "area" if graph else "none", "justifyMode": "auto",
        "orientation": "auto", "percentChangeColorMode": "standard", "showPercentChange": False,
        "textMode": "name" if show == "name" else "value_and_name" if named else "value",
        "wideLayout": True,
        "reduceOptions": {"calcs": [reduce], "fields": "", "values": False},
    }
    return _panel("stat", title, description, width, queries, defaults, options)


def curves(title, description, unit, queries, *, width, stacked=False, low=None,
           high=None, steps=None, colors=None, legend=("mean", "lastNotNull"),
           none=None, decimals=None, rare=False):
    """Curves over time. colors: {legend: color}. rare: of events that may be minutes apart, so
    no point stands for less than 5 minutes."""
    custom = {
        "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1,
        "fillOpacity": 25 if stacked else 10, "gradientMode": "none",
        "showPoints": "auto", "pointSize": 4, "spanNulls": False, "axisPlacement": "auto",
        "axisColorMode": "text", "axisBorderShow": False, "axisCenteredZero": False,
        "barAlignment": 0, "scaleDistribution": {"type": "linear"},
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if steps else "off"},
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
    }
    defaults = {"unit": unit, "color": {"mode": "palette-classic"}, "custom": custom,
                "thresholds": thresholds(steps)}
    for key, value in (("min", low), ("max", high), ("noValue", none), ("decimals", decimals)):
        if value is not None:
            defaults[key] = value
    overrides = [_override("byName", name, color={"mode": "fixed", "fixedColor": color})
                 for name, color in (colors or {}).items()]
    options = {
        "legend": {"displayMode": "table" if legend else "list", "placement": "bottom",
                   "showLegend": True, "calcs": list(legend)},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, description, width, queries, defaults, options, overrides,
                  **({"interval": "5m"} if rare else {}))


def timeline(title, description, queries, *, width, texts, none=None):
    """States over time, one bar for each series."""
    defaults = {"unit": "short", "color": {"mode": "thresholds"}, "mappings": mapping(texts),
                "thresholds": thresholds((GREY,)),
                "custom": {"fillOpacity": 75, "lineWidth": 0,
                           "hideFrom": {"legend": False, "tooltip": False, "viz": False}}}
    if none is not None:
        defaults["noValue"] = none
    options = {
        "alignValue": "left", "mergeValues": True, "rowHeight": 0.85, "showValue": "auto",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return _panel("state-timeline", title, description, width, queries, defaults, options)


def table(title, description, queries, columns, *, width, none, sort=None):
    """One row for each set of labels; queries ({name: expr}) are joined by their labels."""
    names = list(queries)
    # A single query's value column is "Value", those of several "Value #A" and so on.
    source = {name: f"Value #{chr(ord('A') + i)}" if len(names) > 1 else "Value"
              for i, name in enumerate(names)}
    keys = {c.title: source[c.query] if c.query else c.label for c in columns}
    shown = {key: title for title, key in keys.items()}
    hidden = {"Time": True, **{source[name]: True for name in names if source[name] not in shown}}
    transformations = [{"id": "merge", "options": {}}] if len(names) > 1 else []
    transformations.append({"id": "organize", "options": {
        "excludeByName": hidden, "includeByName": {},
        "indexByName": {key: i for i, key in enumerate(shown)}, "renameByName": shown}})
    defaults = {"unit": "short", "color": {"mode": "thresholds"}, "thresholds": thresholds((GREY,)),
                "noValue": none,
                "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}}
    options = {"showHeader": True, "cellHeight": "sm", "frameIndex": 0,
               "sortBy": [{"displayName": sort[0], "desc": sort[1]}] if sort else []}
    return _panel("table", title, description, width,
                  [Query(expr) for expr in queries.values()], defaults, options,
                  [_column_override(c) for c in columns], transformations=transformations)


def _column_override(c):
    # The table's own noValue is for the whole of it: an empty cell gets a dash.
    properties = {"noValue": "–"}
    if c.unit:
        properties["unit"] = c.unit
    if c.decimals >= 0:
        properties["decimals"] = c.decimals
    if c.width:
        properties["custom.width"] = c.width
    if c.steps:
        properties["thresholds"] = thresholds(c.steps)
    if c.texts:
        properties["mappings"] = mapping(c.texts)
    if c.gauge:
        properties["min"], properties["max"] = 0, c.maximum or 1
        properties["custom.cellOptions"] = {"type": "gauge", "mode": "basic",
                                            "valueDisplayMode": "text"}
    elif c.colored:
        properties["custom.cellOptions"] = {"type": "color-text"}
    if c.link:
        properties["links"] = [{"title": c.link[0], "url": c.link[1]}]
    return _override("byName", c.title, **properties)


def _override(matcher, name, **properties):
    return {"matcher": {"id": matcher, "options": name},
            "properties": [{"id": key, "value": value} for key, value in properties.items()]}


# ---- dashboards

def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"h": 1}}


def line(height, *panels):
    """Panels side by side."""
    width = sum(panel["gridPos"]["w"] for panel in panels)
    if width != COLUMNS:
        raise ValueError(f"the line of {panels[0]['title']!r} is {width} columns wide, not {COLUMNS}")
    for panel in panels:
        panel["gridPos"]["h"] = height
    return list(panels)


def lay_out(lines):
    """Gives each panel its place and its id."""
    panels, y = [], 0
    for entry in lines:
        x, height = 0, 0
        for panel in entry if isinstance(entry, list) else [entry]:
            width = panel["gridPos"].get("w", COLUMNS)
            height = panel["gridPos"]["h"]
            panels.append({"id": len(panels) + 1, **panel,
                           "gridPos": {"x": x, "y": y, "w": width, "h": height}})
            x += width
        y += height
    return panels


def variable(name, label, query, description, *, multi=False, regex="", every=False):
    """A choice at the top, filled by a query of Prometheus."""
    return {
        "type": "query", "name": name, "label": label, "description": description,
        "datasource": DATASOURCE, "query": {"query": query, "refId": "Variable"},
        "regex": regex, "refresh": 2, "sort": 7 if every else 8, "multi": multi,
        "includeAll": every, "options": [], "hide": 0,
        **({"allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}} if every else {}),
    }


def dashboard(uid, title, description, lines, *, variables=(), span="now-3h"):
    datasource = {"type": "datasource", "name": "datasource", "label": "Data source",
                  "description": "The Prometheus that scrapes Trainyard's server.",
                  "query": "prometheus", "regex": "", "refresh": 1, "multi": False,
                  "includeAll": False, "options": [], "hide": 0}
    return {
        "uid": uid, "title": title, "description": description, "tags": ["trainyard"],
        "schemaVersion": 42, "version": 1, "editable": True, "graphTooltip": 1,
        "time": {"from": span, "to": "now"}, "timezone": "browser", "refresh": "10s",
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m"]},
        "links": [{"type": "dashboards", "tags": ["trainyard"], "title": "Trainyard", "icon": "",
                   "asDropdown": False, "includeVars": False, "keepTime": True,
                   "targetBlank": False, "tooltip": "", "url": ""}],
        "templating": {"list": [datasource, *variables]},
        "annotations": {"list": []},
        "panels": lay_out(lines),
    }
