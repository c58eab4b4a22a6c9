"""The reasons why a gradient is wrong: common mistakes, and what a module keeps, changes and depends on."""
