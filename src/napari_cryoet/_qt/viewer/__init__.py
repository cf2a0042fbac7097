"""The main viewer's layers: adding and adopting them, showing one run at a time, and their detail."""
