"""What tests of an application need to see the events that it sends."""
