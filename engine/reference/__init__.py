"""The reference of the mapping language, written from the definitions that check mappings.

Its tables come from the keys, operations, functions and codes themselves; its examples are run
before they are printed, and the sentences of refusals are those that the checks gave. Run
`python -m engine.reference > docs/mapping-reference.md` after changing any of these.
"""
