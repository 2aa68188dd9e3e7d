;; A thousand components and one in a component.
;; expect: refused "component"
(component <<1001 times (component) >>)
