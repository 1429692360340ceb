"""The publisher that programs use; they know it as `onward.Publisher`. Its parts are imported by their modules."""
