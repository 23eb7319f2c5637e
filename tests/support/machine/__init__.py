"""A machine to install on: namespaces with files, users, processes and ports of their own."""
