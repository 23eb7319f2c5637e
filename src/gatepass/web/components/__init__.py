"""Web components for other products' pages."""

from gatepass.web.components.module import router

__all__ = ["router"]
