"""What a dashboard of Grafana is made of: panels, queries and variables with everything that each of them needs."""

import json

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# As the page shows them; a skipped check is nobody's failure.
# In the order of how much they matter, so that a table that is sorted by them begins with what is wrong.
STATES = {"ok": "green", "skipped": "#8e8e8e", "pending": "blue", "degraded": "yellow", "stale": "purple", "error": "red"}
GOOD_AT_ZERO = [("green", None), ("red", 1)]
PLAIN = [("text", None)]


def query(expr, legend="__auto", *, instant=False, shape="time_series"):
    """One query; tables ask for the last moment alone."""
    expr = " ".join(expr.split())
    return {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": expr,
        "format": shape,
        "instant": instant,
        "legendFormat": legend,
        "range": not instant,
    }


def now(expr):
    """One query for a column of a table."""
    return query(expr, instant=True, shape="table")


def panel(kind, title, description, queries, size, unit, *, options, custom=None, thresholds=PLAIN, **field):
    """Any panel. `size` is its width (of 24) and its height."""
    for letter, one in zip("ABCDEFGHIJ", queries):
        one["refId"] = letter
    defaults = {
        "custom": custom or {},
        "mappings": [],
        "thresholds": {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in thresholds]},
        "unit": unit,
        **field,
    }
    return {
        "datasource": SOURCE,
        "description": " ".join(description.split()),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "gridPos": {"w": size[0], "h": size[1]},
        "options": options,
        "targets": queries,
        "title": title,
        "type": kind,
    }


def stat(title, description, expr, size=(4, 4), unit="none", *, thresholds=GOOD_AT_ZERO, legend="__auto", text="auto", **field):
    options = {
        "colorMode": "background" if thresholds != PLAIN else "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": text,
        "wideLayout": True,
    }
    queries = [query(expr, legend, instant=True)]
    return panel("stat", title, description, queries, size, unit, options=options, thresholds=thresholds, **field)


def lines(title, description, queries, size=(12, 8), unit="none", *, stacked=False, **field):
    custom = {
        "drawStyle": "line",
        "fillOpacity": 40 if stacked else 10,
        "lineInterpolation": "stepAfter" if stacked else "linear",
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
    }
    options = {
        "legend": {"calcs": ["max", "lastNotNull"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, description, queries, size, unit, options=options, custom=custom, min=0, **field)


def bars(title, description, expr, legend, size=(8, 8), unit="none", **field):
    options = {
        "displayMode": "basic",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "maxVizHeight": 300,
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "left",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    }
    field.setdefault("thresholds", [("blue", None)])
    return panel("bargauge", title, description, [query(expr, legend, instant=True)], size, unit, options=options, min=0, **field)


def timeline(title, description, expr, legend, size, mappings):
    options = {
        "alignValue": "left",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "mergeValues": True,
        "rowHeight": 0.85,
        "showValue": "never",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False}
    return panel("state-timeline", title, description, [query(expr, legend)], size, "none", options=options, custom=custom, mappings=mappings)


def heatmap(title, description, expr, size=(12, 8)):
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"exponent": 0.5, "fill": "dark-orange", "mode": "scheme", "reverse": False, "scheme": "Oranges", "steps": 64},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "s"},
    }
    return panel("heatmap", title, description, [query(expr, "{{le}}", shape="heatmap")], size, "short", options=options)


def table(title, description, columns, size, *, names, sort, hidden=()):
    """A row for each set of labels. `columns` are (title, expression, properties); `names` renames labels to what is read."""
    queries = [now(expr) for _, expr, _ in columns]
    values = ["Value"] if len(columns) == 1 else [f"Value #{letter}" for letter, _ in zip("ABCDEFGHIJ", columns)]
    titles = {value: title for value, (title, _, _) in zip(values, columns)}
    order = [*names, *values]
    made = panel(
        "table",
        title,
        description,
        queries,
        size,
        "none",
        options={"cellHeight": "sm", "frameIndex": 0, "showHeader": True, "sortBy": [{"desc": True, "displayName": sort}]},
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True, "inspect": False},
    )
    organize = {
        "excludeByName": {name: True for name in ("Time", *hidden)},
        "indexByName": {name: place for place, name in enumerate(order)},
        "renameByName": {**names, **titles},
    }
    made["transformations"] = [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]
    for title, _, properties in columns:
        override(made, title, **properties)
    return made


def override(made, field, **properties):
    """Gives one field of a panel properties of its own; a double underscore stands for a dot, `none` leaves it be."""
    if properties:
        listed = [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()]
        made["fieldConfig"]["overrides"].append({"matcher": {"id": "byName", "options": field}, "properties": listed})
    return made


def link(made, field, title, url):
    return override(made, field, links=[{"title": title, "url": url}])


def row(title):
    return {"collapsed": False, "gridPos": {"w": 24, "h": 1}, "panels": [], "title": title, "type": "row"}


def words(meaning):
    """Values as words in colours: {value: (word, colour)}."""
    options = {str(value): {"color": color, "index": index, "text": word} for index, (value, (word, color)) in enumerate(meaning.items())}
    return [{"options": options, "type": "value"}]


def states(labels, by):
    """The state of each check as a number, its place in STATES."""
    terms = [f'{place} * max by ({by}) (healthcheck_state{{{labels}, state="{state}"}})' for place, state in enumerate(STATES)]
    return " + ".join(terms)


STATE_WORDS = words({place: (state, color) for place, (state, color) in enumerate(STATES.items())})
OPEN_WORDS = words({0: ("closed", "red"), 1: ("open", "green")})
# For a column of a table that is coloured by its value.
COLOURED = {"custom__cellOptions": {"type": "color-background", "mode": "basic"}}

# Grafana takes the first that there is.
NOTHING = {"selected": False, "text": "", "value": ""}


def source_variable():
    return {
        "current": NOTHING,
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "type": "datasource",
    }


def variable(name, label, question, *, many=True, regex=""):
    """A variable that Prometheus is asked for. What is chosen at first is everything, where there may be many."""
    kind = 3 if question.startswith("query_result(") else 1
    made = {
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]} if many else NOTHING,
        "datasource": SOURCE,
        "definition": question,
        "hide": 0,
        "includeAll": many,
        "label": label,
        "multi": many,
        "name": name,
        "query": {"qryType": kind, "query": question, "refId": f"variable-{name}"},
        "refresh": 2,
        "regex": regex,
        "sort": 1,
        "type": "query",
    }
    if many:
        # Targets without the label too.
        made["allValue"] = ".*"
    return made


def dashboard(uid, title, description, variables, panels):
    """The whole, its panels laid out in rows from the left."""
    x = y = height = 0
    for number, made in enumerate(panels, 1):
        place = made["gridPos"]
        if x + place["w"] > 24:
            x, y, height = 0, y + height, 0
        place.update(x=x, y=y)
        x, height = x + place["w"], max(height, place["h"])
        made["id"] = number
    everywhere = {
        "asDropdown": True,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": ["probelet"],
        "targetBlank": False,
        "title": "probelet",
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    }
    whole = {
        "annotations": {"list": []},
        "description": " ".join(description.split()),
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": [everywhere],
        "panels": panels,
        "refresh": "30s",
        "schemaVersion": 39,
        "tags": ["probelet"],
        "templating": {"list": variables},
        "time": {"from": "now-3h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": title,
        "uid": uid,
    }
    return json.dumps(whole, indent=2, sort_keys=True) + "\n"
