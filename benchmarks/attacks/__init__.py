"""Attacks on the command line: damaged and crafted files, kills, flips and limits, and what came of them.

running   a command in a process of its own, and how it ended
folders   what a folder held before and after
cases     attacks with names, shared between workers
scans     small clean scans of every format, and their images
tables    what is printed and stored

mutants, crafted, kills, flips, limits, steadiness: a section each; places, mutations and the crafted_ modules help them
"""
