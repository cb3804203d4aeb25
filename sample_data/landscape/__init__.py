"""A made-up stretch of land, drawn as an aerial camera would see it.

`plan` says where things lie (vector, metres), `ground`, `roofs` and `plants` paint them on a
`canvas` (reflectance and height), `light` and `sensor` turn that into digital numbers.
"""
