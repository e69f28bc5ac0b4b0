"""HTTP without a framework: a `WebRequest` in, a `WebResponse` out.

Everything a visitor can reach is decided here, once; adapters only translate.
"""
