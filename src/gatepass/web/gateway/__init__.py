"""The data plane's endpoints, and how they are served."""
