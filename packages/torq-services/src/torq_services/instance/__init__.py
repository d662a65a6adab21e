"""An instance: its configuration, its folder, its processes under supervisord, its status."""
