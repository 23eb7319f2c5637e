"""The demo's Jinja environment: its own templates, then the dashboard's."""

from jinja2 import ChoiceLoader, PackageLoader

from gatepass.web.pages.layout.templating import PAGES, page_environment

environment = page_environment(ChoiceLoader([PackageLoader("gatepass.demo"), PAGES]))
