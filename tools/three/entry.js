// What pose/report/static/page.js uses of three.js; esbuild leaves out the rest.
export {
  BufferGeometry, Color, CylinderGeometry, GridHelper, Group, HemisphereLight, Line, LineBasicMaterial, Mesh,
  MeshBasicMaterial, MeshLambertMaterial, PerspectiveCamera, Scene, SphereGeometry, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
