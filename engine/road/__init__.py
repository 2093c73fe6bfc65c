"""The road that every resource travels, one module for each stage; `pipeline` states the order."""
