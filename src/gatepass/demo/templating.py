"""The demo's Jinja environment: its own templates, then the dashboard's."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from gatepass.web.pages.layout.static_files import static
from gatepass.web.pages.text.people_text import FILTERS
from gatepass.web.pages.text.times import moment

environment = Environment(
    loader=ChoiceLoader([PackageLoader("gatepass.demo"), PackageLoader("gatepass.web.pages")]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
environment.filters.update(FILTERS)
environment.globals.update(static=static, moment=moment)
