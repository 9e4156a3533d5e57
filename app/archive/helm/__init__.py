"""Packaged Helm charts.

go_values  values as Go programs read and write them
metadata   Chart.yaml as Helm reads it
package    packaged Helm charts inside an upload
"""
