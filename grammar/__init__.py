"""The grammar of the specc language, as a file that Lark reads."""
